-- Redaction: what events said is taken away, their places stay.

CREATE OR REPLACE FUNCTION event.as_json(e event.event_log) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'event_id', e.event_id, 'position', e.position, 'subject_id', e.subject_id,
        'person_id', e.person_id, 'link_id', e.link_id, 'group_id', e.group_id,
        'session_id', e.session_id, 'session_key', e.session_key, 'event_type', e.event_type,
        'platform', e.platform, 'content', e.content, 'metadata', e.metadata,
        'occurred_at', e.occurred_at, 'created_at', e.created_at,
        'consent_version', e.consent_version,
        'redacted_at', e.redacted_at, 'redaction_reason', e.redaction_reason)
$$;

-- Logs what subscribers are told; answers the positions, in order. Takes the log's lock.
CREATE FUNCTION event.append_notices(notices jsonb) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    outcome jsonb := event.append_events(jsonb_build_array(append_notices.notices)) -> 0;
BEGIN
    IF NOT outcome ? 'ok' THEN
        RAISE EXCEPTION 'a notice was refused: %', outcome;
    END IF;
    RETURN ARRAY(SELECT (o.place ->> 'position')::bigint
                 FROM jsonb_array_elements(outcome -> 'ok') WITH ORDINALITY o (place, number)
                 ORDER BY o.number);
END $$;

-- The last contributions that are left, for values that have lost theirs: `lost` and the
-- answer are arrays of {"projection_id", "subject_id", "key", "last_position", ...}. It looks
-- back from the lost ones in growing steps of days, once over each.
CREATE FUNCTION event.find_last(lost jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = '' SET timezone = 'UTC' AS $$
#variable_conflict use_column
DECLARE
    missing jsonb := find_last.lost;
    kept jsonb := '[]';
    piece record;
    days date[];
    days_read integer := 0;
    step integer := 1;
BEGIN
    days := ARRAY(
        SELECT p.day FROM event.partitions p
        WHERE p.first_position < (SELECT max((l ->> 'last_position')::bigint)
                                  FROM jsonb_array_elements(missing) l)
        ORDER BY p.day DESC);
    WHILE days_read < cardinality(days) AND missing <> '[]' LOOP
        EXECUTE '
            WITH missing AS (
                SELECT * FROM jsonb_to_recordset($1) AS (
                    projection_id integer, subject_id uuid, key text, last_position bigint)
            ), there AS MATERIALIZED (
                SELECT c.* FROM event.contributions c
                WHERE c.projection_id = ANY ($2) AND c.subject_id = ANY ($3) AND c.is_counted
                  AND c.created_at >= $4 AND c.created_at < $5
            ), latest AS (
                SELECT DISTINCT ON (projection_id, subject_id, key) projection_id, subject_id, key,
                       t.number AS last, t.position AS last_position,
                       t.occurred_at AS last_occurred_at
                FROM missing m JOIN there t USING (projection_id, subject_id, key)
                WHERE t.position < m.last_position
                ORDER BY projection_id, subject_id, key, t.position DESC
            )
            SELECT coalesce(jsonb_agg(to_jsonb(l)) FILTER (WHERE l.last IS NOT NULL), ''[]'')
                       AS kept,
                   coalesce(jsonb_agg(to_jsonb(m)) FILTER (WHERE l.last IS NULL), ''[]'')
                       AS missing
            FROM missing m LEFT JOIN latest l USING (projection_id, subject_id, key)'
        INTO piece
        USING missing,
              ARRAY(SELECT DISTINCT (l ->> 'projection_id')::integer
                    FROM jsonb_array_elements(missing) l),
              ARRAY(SELECT DISTINCT (l ->> 'subject_id')::uuid
                    FROM jsonb_array_elements(missing) l),
              event.start_of(days[least(days_read + step, cardinality(days))]),
              event.start_of(days[days_read + 1] + 1);
        kept := kept || piece.kept;
        missing := piece.missing;
        days_read := days_read + step;
        step := least(step * 4, 64);
    END LOOP;
    RETURN kept;
END $$;

-- Takes what was counted out of its values again: `lost` is an array of {"projection_id",
-- "subject_id", "key", "count", "sum", "last_position"}. To be called under the past's
-- lock, after the events have lost their numbers; takes the log's lock before it writes.
CREATE FUNCTION event.count_out(lost jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    kept jsonb;
BEGIN
    -- Looked for before the log is locked: nothing but an append can be later, and an
    -- append that comes in between has moved the value's own last.
    SELECT event.find_last(jsonb_agg(to_jsonb(l))) INTO kept
    FROM jsonb_to_recordset(count_out.lost) AS l (
        projection_id integer, subject_id uuid, key text, last_position bigint)
    JOIN event.projection_values v USING (projection_id, subject_id, key, last_position)
    HAVING count(*) > 0;

    PERFORM event.lock_log();
    UPDATE event.projection_values v
    SET count = v.count - l.count,
        sum = v.sum - l.sum,
        (last, last_position, last_occurred_at) = (
            SELECT CASE WHEN is_lost THEN l.last ELSE v.last END,
                   CASE WHEN is_lost THEN coalesce(l.kept_position, 0) ELSE v.last_position END,
                   CASE WHEN is_lost THEN l.last_occurred_at ELSE v.last_occurred_at END
            FROM (SELECT v.last_position = l.last_position AS is_lost) s)
    FROM (
        SELECT projection_id, subject_id, key, l.count, l.sum, l.last_position,
               f.last, f.last_position AS kept_position, f.last_occurred_at
        FROM jsonb_to_recordset(count_out.lost) AS l (
            projection_id integer, subject_id uuid, key text, count bigint, sum numeric,
            last_position bigint)
        LEFT JOIN jsonb_to_recordset(coalesce(kept, '[]')) AS f (
            projection_id integer, subject_id uuid, key text, last numeric, last_position bigint,
            last_occurred_at timestamptz) USING (projection_id, subject_id, key)
    ) l
    WHERE (v.projection_id, v.subject_id, v.key) = (l.projection_id, l.subject_id, l.key);

    DELETE FROM event.projection_values v
    USING jsonb_to_recordset(count_out.lost) AS l (
        projection_id integer, subject_id uuid, key text)
    WHERE (v.projection_id, v.subject_id, v.key) = (l.projection_id, l.subject_id, l.key)
      AND v.count = 0;
END $$;

-- What events at certain places have added to projections, as `count_out` takes it.
CREATE FUNCTION event.contributions_at(positions bigint[], times timestamptz[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = ''
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    counted jsonb := '[]';
BEGIN
    IF EXISTS (SELECT FROM event.projections p WHERE p.name IS NOT NULL) THEN
        EXECUTE '
            SELECT coalesce(jsonb_agg(to_jsonb(l)), ''[]'')
            FROM (
                SELECT c.projection_id, c.subject_id, c.key, count(*) AS count,
                       sum(c.number) AS sum, max(c.position) AS last_position
                FROM unnest($1, $2) place (position, created_at)
                JOIN event.contributions c USING (position, created_at)
                WHERE c.is_counted AND c.created_at >= $3 AND c.created_at <= $4
                GROUP BY 1, 2, 3
            ) l'
        INTO counted
        USING contributions_at.positions, contributions_at.times,
              (SELECT min(t) FROM unnest(contributions_at.times) t),
              (SELECT max(t) FROM unnest(contributions_at.times) t);
    END IF;
    RETURN counted;
END $$;

-- Takes away what events said, for good; answers the ids of those that still said it.
-- Unknown ids are passed over. For each subject, group and conversation that lost
-- something a notice is logged, of type `redaction` on platform `kith`, with
-- {"event_ids", "positions"}, so that whoever was shown the events is shown it too.
CREATE FUNCTION event.redact_events(event_ids text[], reason text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s'
SET timezone = 'UTC' SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    positions bigint[];
    times timestamptz[];
    counted jsonb;
    redacted jsonb;
    notices jsonb;
BEGIN
    PERFORM event.lock_past();
    SELECT array_agg(i.position), array_agg(i.created_at) INTO positions, times
    FROM (SELECT DISTINCT unnest(redact_events.event_ids)::uuid) given (event_id)
    JOIN event.event_ids i USING (event_id)
    WHERE i.position IS NOT NULL;
    counted := event.contributions_at(positions, times);

    EXECUTE '
        WITH redacted AS (
            UPDATE event.event_log e
            SET content = ''{}'', metadata = ''{}'', redacted_at = clock_timestamp(),
                redaction_reason = $5
            FROM unnest($1, $2) place (position, created_at)
            WHERE e.position = place.position AND e.created_at = place.created_at
              AND e.created_at >= $3 AND e.created_at <= $4 AND e.redacted_at IS NULL
            RETURNING e.*
        )
        SELECT jsonb_agg(to_jsonb(r) - ''content'' - ''metadata'' ORDER BY r.position)
        FROM redacted r'
    INTO redacted
    USING positions, times, (SELECT min(t) FROM unnest(times) t),
          (SELECT max(t) FROM unnest(times) t), redact_events.reason;
    IF redacted IS NULL THEN
        RETURN '[]';
    END IF;
    -- A hash of what was said is made of what was said: a retry is a duplicate from now
    -- on, whatever it says.
    UPDATE event.event_ids i SET body_hash = NULL
    FROM jsonb_array_elements(redacted) r WHERE i.event_id = (r ->> 'event_id')::uuid;
    PERFORM event.count_out(counted);

    PERFORM event.lock_log();
    SELECT jsonb_agg(n) INTO notices
    FROM (
        SELECT gen_random_uuid() AS event_id, 'redaction' AS event_type, 'kith' AS platform,
               r.link_id, CASE WHEN r.link_id IS NULL THEN r.person_id END AS person_id,
               r.group_id, r.session_id,
               jsonb_build_object(
                   'event_ids', jsonb_agg(r.event_id ORDER BY r.position),
                   'positions', jsonb_agg(r.position ORDER BY r.position)) AS content
        FROM jsonb_to_recordset(redacted) AS r (
            event_id uuid, position bigint, subject_id uuid, person_id uuid, link_id uuid,
            group_id uuid, session_id uuid)
        -- About these there is the notice of their erasure.
        WHERE NOT EXISTS (SELECT FROM event.tombstones t WHERE t.subject_id = r.subject_id)
        GROUP BY 4, 5, 6, 7
    ) n;
    IF notices IS NOT NULL THEN
        PERFORM event.append_notices(notices);
    END IF;
    RETURN (SELECT jsonb_agg(r -> 'event_id') FROM jsonb_array_elements(redacted) r);
END $$;
