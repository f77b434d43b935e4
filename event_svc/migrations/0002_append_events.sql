-- Appending. Positions and created_at are drawn under the log's lock, so that both grow in
-- the order of commits: whoever sees an event sees every event before it.
-- ZE001: an id is known with another body; inside the answer, never raised.
-- ZE002: an id occurs twice in one call, which the caller is to keep apart.
-- 55P03: somebody holds the log's lock for too long.

-- `requests` is an array of independent requests, each an array of events to be logged
-- together or not at all. The answer has an outcome for each, in order:
-- {"ok": [{"position", "created_at", "duplicate"}, ...]} or
-- {"error": {"code": "ZE001", "event_id"}}.
CREATE FUNCTION event.append_events(requests jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s'
SET timezone = 'UTC'
-- A plan made while event_ids was empty is not to read all of it later.
SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    head record;
    written bigint;
    is_repeated boolean;
    outcomes jsonb;
BEGIN
    PERFORM event.lock_log();
    -- A statement of its own, because its snapshot has to be taken under the lock.
    SELECT h.position, h.created_at, p.day, p.first_position INTO head
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

    WITH given AS (
        SELECT request, e.*, decode(e.body_hash, 'hex') AS digest
        FROM jsonb_array_elements(append_events.requests) WITH ORDINALITY r (events, request),
             ROWS FROM (jsonb_to_recordset(r.events) AS (
                 event_id uuid, body_hash text, person_id uuid, link_id uuid, group_id uuid,
                 session_id uuid, session_key text, event_type text, platform text,
                 content jsonb, metadata jsonb, occurred_at timestamptz, consent_version bigint
             )) WITH ORDINALITY e (
                 event_id, body_hash, person_id, link_id, group_id, session_id, session_key,
                 event_type, platform, content, metadata, occurred_at, consent_version, number)
    ), repeated AS (
        SELECT FROM given GROUP BY event_id HAVING count(*) > 1
    ), compared AS (
        SELECT g.*, k.event_id IS NOT NULL AS is_known, k.position AS known_position,
               k.created_at AS known_created_at,
               -- A hash that erasure has cleared differs from none.
               k.body_hash IS NOT NULL AND k.body_hash <> g.digest AS is_conflict
        FROM given g
        -- The limit keeps this an index look-up for each, whatever the planner thinks.
        LEFT JOIN LATERAL (SELECT i.* FROM event.event_ids i WHERE i.event_id = g.event_id LIMIT 1)
            k ON true
    ), judged AS (
        SELECT *, bool_or(is_conflict) OVER (PARTITION BY request) AS is_refused FROM compared
    ), fresh AS (
        SELECT *, head.position + row_number() OVER (ORDER BY request, number) AS position
        FROM judged
        WHERE NOT is_known AND NOT is_refused AND NOT EXISTS (SELECT FROM repeated)
    ), logged AS (
        INSERT INTO event.event_log (
            position, created_at, occurred_at, consent_version, event_id, subject_id, person_id,
            link_id, group_id, session_id, session_key, event_type, platform, content, metadata)
        SELECT position, head.created_at, coalesce(occurred_at, head.created_at),
               coalesce(consent_version, 0), event_id, coalesce(link_id, person_id), person_id,
               link_id, group_id, session_id, session_key, event_type, platform,
               coalesce(content, '{}'), coalesce(metadata, '{}')
        FROM fresh
    ), named AS (
        INSERT INTO event.event_ids (event_id, position, created_at, body_hash)
        SELECT event_id, position, head.created_at, digest FROM fresh
    ), decided AS (
        SELECT j.request, CASE WHEN bool_or(j.is_refused)
            THEN jsonb_build_object('error', jsonb_build_object('code', 'ZE001', 'event_id',
                (array_agg(j.event_id ORDER BY j.number) FILTER (WHERE j.is_conflict))[1]))
            ELSE jsonb_build_object('ok', jsonb_agg(jsonb_build_object(
                'position', coalesce(f.position, j.known_position, 0),
                'created_at', coalesce(j.known_created_at, head.created_at),
                'duplicate', j.is_known) ORDER BY j.number))
            END AS outcome
        FROM judged j LEFT JOIN fresh f USING (request, number)
        GROUP BY j.request
    )
    SELECT jsonb_agg(outcome ORDER BY request), (SELECT count(*) FROM fresh),
           EXISTS (SELECT FROM repeated)
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
        UPDATE event.log_head
        SET position = head.position + written, created_at = head.created_at;
        PERFORM pg_notify('kith_event_log', '');
    END IF;
    RETURN outcomes;
END $$;
