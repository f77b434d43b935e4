-- Appending: refuses erased subjects, counts what it writes, and looks at each event once.
-- ZE001: an id is known with another body; inside the answer, never raised.
-- ZE002: an id occurs twice in one call, which the caller is to keep apart.
-- ZE004: the subject of a new event was erased; inside the answer, never raised.
-- 55P03: somebody holds the log's lock for too long.

-- `requests` is an array of independent requests, each an array of events to be logged
-- together or not at all. The answer has an outcome for each, in order:
-- {"ok": [{"position", "created_at", "duplicate"}, ...]},
-- {"error": {"code": "ZE001", "event_id"}} or {"error": {"code": "ZE004", "subject_id"}}.
CREATE OR REPLACE FUNCTION event.append_events(requests jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s'
SET timezone = 'UTC'
-- Planning takes longer than an append; and a plan made while event_ids was empty is not to
-- read all of it later.
SET plan_cache_mode = 'force_generic_plan' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    head record;
    written bigint;
    is_repeated boolean;
    outcomes jsonb;
BEGIN
    PERFORM event.lock_log();
    -- A statement of its own, because its snapshot has to be taken under the lock.
    SELECT h.position, h.created_at, to_jsonb(h.created_at)::text AS now, p.day, p.first_position,
           EXISTS (SELECT FROM event.tombstones) AS has_tombstones
    INTO head
    FROM (SELECT h.position, greatest(clock_timestamp(), h.created_at) AS created_at
          FROM event.log_head h) h
    LEFT JOIN event.partitions p ON p.day = (h.created_at AT TIME ZONE 'UTC')::date;
    IF head.day IS NULL AND EXISTS (
        SELECT FROM jsonb_array_elements(append_events.requests) r, jsonb_array_elements(r) e
        WHERE (SELECT i.event_id FROM event.event_ids i
               WHERE i.event_id = (e ->> 'event_id')::uuid) IS NULL
    ) THEN
        head.day := (head.created_at AT TIME ZONE 'UTC')::date;
        PERFORM event.make_partition(head.day);
    END IF;

    WITH given AS MATERIALIZED (
        SELECT request, e.*, decode(e.body_hash, 'hex') AS digest, k.event_id IS NOT NULL AS is_known,
               k.position AS known_position, k.created_at AS known_created_at,
               -- A hash that erasure has cleared differs from none.
               encode(k.body_hash, 'hex') <> e.body_hash AS is_conflict,
               CASE WHEN head.has_tombstones AND k.event_id IS NULL THEN
                   (SELECT t.subject_id FROM event.tombstones t
                    WHERE t.subject_id IN (e.link_id, e.person_id) LIMIT 1) END AS erased_id
        FROM jsonb_array_elements(append_events.requests) WITH ORDINALITY r (events, request)
        CROSS JOIN LATERAL ROWS FROM (jsonb_to_recordset(r.events) AS (
                 event_id uuid, body_hash text, person_id uuid, link_id uuid, group_id uuid,
                 session_id uuid, session_key text, event_type text, platform text,
                 content jsonb, metadata jsonb, occurred_at timestamptz, consent_version bigint
             )) WITH ORDINALITY e (
                 event_id, body_hash, person_id, link_id, group_id, session_id, session_key,
                 event_type, platform, content, metadata, occurred_at, consent_version, number)
        -- The limit keeps this an index look-up for each, whatever the planner thinks.
        LEFT JOIN LATERAL (SELECT i.* FROM event.event_ids i WHERE i.event_id = e.event_id LIMIT 1)
            k ON true
    ), repeated AS MATERIALIZED (
        SELECT FROM given GROUP BY event_id HAVING count(*) > 1
    ), refused AS MATERIALIZED (
        SELECT DISTINCT ON (request) request, CASE WHEN is_conflict
            THEN jsonb_build_object('code', 'ZE001', 'event_id', event_id)
            ELSE jsonb_build_object('code', 'ZE004', 'subject_id', erased_id) END AS error
        FROM given WHERE is_conflict OR erased_id IS NOT NULL
        ORDER BY request, number
    ), judged AS (
        SELECT *, request IN (SELECT request FROM refused) AS is_refused FROM given
    ), placed AS MATERIALIZED (
        SELECT *, NOT is_known AND NOT is_refused AS is_new,
               head.position + count(*) FILTER (WHERE NOT is_known AND NOT is_refused)
                   OVER (ORDER BY request, number ROWS UNBOUNDED PRECEDING) AS position
        FROM judged WHERE NOT EXISTS (SELECT FROM repeated)
    ), logged AS (
        INSERT INTO event.event_log (
            position, created_at, occurred_at, consent_version, event_id, subject_id, person_id,
            link_id, group_id, session_id, session_key, event_type, platform, content, metadata)
        SELECT position, head.created_at, coalesce(occurred_at, head.created_at),
               coalesce(consent_version, 0), event_id, coalesce(link_id, person_id), person_id,
               link_id, group_id, session_id, session_key, event_type, platform,
               coalesce(content, '{}'), coalesce(metadata, '{}')
        FROM placed WHERE is_new
    ), named AS (
        INSERT INTO event.event_ids (event_id, position, created_at, body_hash)
        SELECT event_id, position, head.created_at, digest FROM placed WHERE is_new
    ), counted AS (
        INSERT INTO event.event_counts AS c (hour, event_type, platform, count)
        SELECT date_trunc('hour', head.created_at), event_type, platform, count(*)
        FROM placed WHERE is_new GROUP BY event_type, platform
        ON CONFLICT (hour, event_type, platform) DO UPDATE SET count = c.count + excluded.count
    ), decided AS (
        -- Text that is parsed once is cheaper than JSON that is built and copied level by level.
        SELECT request, '{"ok": [' || string_agg(
                   '{"position": '
                   || CASE WHEN is_new THEN position ELSE coalesce(known_position, 0) END
                   || ', "created_at": ' || coalesce(to_jsonb(known_created_at)::text, head.now)
                   || ', "duplicate": ' || is_known || '}', ', ' ORDER BY number) || ']}' AS outcome
        FROM placed WHERE NOT is_refused GROUP BY request
        UNION ALL
        SELECT request, jsonb_build_object('error', error)::text FROM refused
    )
    SELECT ('[' || string_agg(outcome, ', ' ORDER BY request) || ']')::jsonb,
           (SELECT count(*) FROM placed WHERE is_new), EXISTS (SELECT FROM repeated)
    INTO outcomes, written, is_repeated
    FROM decided;

    IF is_repeated THEN
        RAISE EXCEPTION USING ERRCODE = 'ZE002', MESSAGE = 'an event id occurs twice';
    END IF;
    IF written > 0 THEN
        IF head.first_position IS NULL THEN
            UPDATE event.partitions SET first_position = head.position + 1
            WHERE day = head.day;
        END IF;
        PERFORM event.project_appended(
            head.position + 1, head.position + written, head.created_at);
        UPDATE event.log_head
        SET position = head.position + written, created_at = head.created_at;
        PERFORM pg_notify('kith_event_log', '');
    END IF;
    RETURN outcomes;
END $$;
