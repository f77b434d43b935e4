-- Projections: running aggregates of a number in events, by subject and by a key.
-- ZE010: there are as many projections as there may be.
--
-- Two locks keep them right. Appends hold the log's lock; whatever counts in, or takes
-- away, what is logged already (define, delete, back-fill, redaction, erasure) holds the
-- past's lock, and takes the log's lock after it, never before.

CREATE TABLE event.projections (
    projection_id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                 text COLLATE "C" UNIQUE,   -- NULL once deleted: its values are being removed
    event_types          text[] NOT NULL,
    value_path           text[] NOT NULL,
    key_path             text[] NOT NULL,           -- empty: one key, the empty text
    since_position       bigint NOT NULL,           -- the log's end when it was defined
    backfilled_position  bigint NOT NULL,           -- older events are counted in up to here
    created_at           timestamptz NOT NULL
);

-- Numbers are exact here, so that what is taken away again leaves no trace of rounding.
CREATE TABLE event.projection_values (
    projection_id     integer NOT NULL,
    subject_id        uuid NOT NULL,
    key               text COLLATE "C" NOT NULL,
    count             bigint NOT NULL,
    sum               numeric NOT NULL,
    last              numeric,                       -- NULL where retention has dropped it
    last_position     bigint NOT NULL,               -- 0 where retention has dropped it
    last_occurred_at  timestamptz,
    PRIMARY KEY (projection_id, subject_id, key)
) WITH (fillfactor = 70);  -- the same rows change again and again

ALTER TABLE event.projections ENABLE ROW LEVEL SECURITY;
ALTER TABLE event.projection_values ENABLE ROW LEVEL SECURITY;

-- Takes the past's lock until the end of the transaction. Never while holding the log's.
CREATE FUNCTION event.lock_past() RETURNS void
LANGUAGE sql VOLATILE SET search_path = '' AS $$
    SELECT pg_advisory_xact_lock(x'6b6974685f707374'::bigint)  -- "kith_pst"
$$;

-- A key as text, NULL for what is none. Without SET, so that it is inlined.
CREATE FUNCTION event.as_key(found jsonb) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN jsonb_typeof(found) NOT IN ('string', 'boolean', 'number') THEN NULL
        WHEN char_length(found #>> '{}') > 256 THEN NULL
        WHEN jsonb_typeof(found) = 'number' THEN trim_scale(found::numeric)::text  -- 1.0 is 1
        ELSE found #>> '{}'
    END
$$;

-- An exact number as the nearest double; the cast alone raises beyond a double's range.
CREATE FUNCTION event.as_double(exact numeric) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN abs(exact) < 2.5e-324 THEN 0
        WHEN abs(exact) > 1.7976931348623157e308 THEN sign(exact) * 1.7976931348623157e308
        ELSE exact
    END::double precision
$$;

-- What each event adds to each projection. What is redacted has no number any more.
CREATE VIEW event.contributions AS
SELECT p.projection_id, e.subject_id, event.as_key(found.key) AS key,
       CASE jsonb_typeof(found.value) WHEN 'number' THEN found.value::numeric END AS number,
       e.position, e.created_at, e.occurred_at,
       e.position > p.since_position OR e.position <= p.backfilled_position AS is_counted
FROM event.projections p
JOIN event.event_log e ON e.event_type = ANY (p.event_types)
CROSS JOIN LATERAL (
    SELECT e.content #> p.value_path AS value,
           CASE WHEN p.key_path = '{}' THEN '""'::jsonb ELSE e.content #> p.key_path END AS key
    OFFSET 0  -- large content is to be unpacked once
) found
WHERE p.name IS NOT NULL AND e.subject_id IS NOT NULL
  AND jsonb_typeof(found.value) = 'number' AND event.as_key(found.key) IS NOT NULL;

-- Counts in the events after one position up to another, which were logged from one moment
-- to before another: for one projection, or for all. Planned with its arguments known, so
-- that only partitions of that time are opened. Values are locked in the order of their keys.
CREATE FUNCTION event.count_in(
    after_position bigint, up_to_position bigint, logged_from timestamptz,
    logged_before timestamptz, projection_id integer
) RETURNS void
-- An append forbids what it does not want to be planned, which must not look costly enough
-- to be compiled.
LANGUAGE plpgsql VOLATILE SET search_path = '' SET jit = off AS $$
#variable_conflict use_column
BEGIN
    EXECUTE '
        INSERT INTO event.projection_values AS v
        SELECT c.projection_id, c.subject_id, c.key, count(*), sum(c.number),
               (array_agg(c.number ORDER BY c.position DESC))[1], max(c.position),
               (array_agg(c.occurred_at ORDER BY c.position DESC))[1]
        FROM event.contributions c
        WHERE c.position > $1 AND c.position <= $2
          AND c.created_at >= $3 AND c.created_at < $4
          AND ($5 IS NULL OR c.projection_id = $5)
          -- An erasure that is under way has taken its subjects out for good.
          AND NOT EXISTS (SELECT FROM event.tombstones t WHERE t.subject_id = c.subject_id)
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (projection_id, subject_id, key) DO UPDATE SET
            count = v.count + excluded.count,
            sum = v.sum + excluded.sum,
            (last, last_position, last_occurred_at) = (
                SELECT CASE WHEN is_later THEN excluded.last ELSE v.last END,
                       CASE WHEN is_later THEN excluded.last_position ELSE v.last_position END,
                       CASE WHEN is_later THEN excluded.last_occurred_at ELSE v.last_occurred_at END
                FROM (SELECT excluded.last_position > v.last_position AS is_later) s)'
    USING count_in.after_position, count_in.up_to_position, count_in.logged_from,
          count_in.logged_before, count_in.projection_id;
END $$;

CREATE OR REPLACE FUNCTION event.project_appended(
    first_position bigint, last_position bigint, logged_at timestamptz
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF EXISTS (SELECT FROM event.projections p WHERE p.name IS NOT NULL) THEN
        PERFORM event.count_in(
            project_appended.first_position - 1, project_appended.last_position,
            project_appended.logged_at, project_appended.logged_at + interval '1 microsecond',
            NULL);
    END IF;
END $$;

-- Every projection by name, or the one of a name.
CREATE FUNCTION event.list_projections(name text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' SET timezone = 'UTC' AS $$
    SELECT coalesce(jsonb_agg(to_jsonb(p) - 'projection_id' ORDER BY p.name), '[]')
    FROM event.projections p
    WHERE p.name = coalesce(list_projections.name, p.name)
$$;

-- Begins to count; or answers what there is under that name, whatever it counts:
-- {"created", "projection"}.
CREATE FUNCTION event.define_projection(
    name text, event_types text[], value_path text[], key_path text[]
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE
    created boolean := false;
BEGIN
    IF NOT EXISTS (SELECT FROM event.projections p WHERE p.name = define_projection.name) THEN
        -- Appends are to see it from one position on.
        PERFORM event.lock_past(), event.lock_log();
        IF (SELECT count(*) >= 64 AND bool_and(p.name <> define_projection.name)
            FROM event.projections p WHERE p.name IS NOT NULL) THEN
            RAISE EXCEPTION USING ERRCODE = 'ZE010', MESSAGE = 'there are 64 projections';
        END IF;
        INSERT INTO event.projections (name, event_types, value_path, key_path,
                                       since_position, backfilled_position, created_at)
        SELECT define_projection.name, define_projection.event_types,
               define_projection.value_path, define_projection.key_path,
               h.position, h.expired_position, clock_timestamp()
        FROM event.log_head h
        ON CONFLICT (name) DO NOTHING;
        created := FOUND;
    END IF;
    RETURN jsonb_build_object('created', created, 'projection',
                              event.list_projections(define_projection.name) -> 0);
END $$;

-- Forgets a projection; its values are out of reach at once, and removed by the back-fill.
CREATE FUNCTION event.delete_projection(name text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s' AS $$
#variable_conflict use_column
BEGIN
    IF NOT EXISTS (SELECT FROM event.projections p WHERE p.name = delete_projection.name) THEN
        RETURN to_jsonb(false);
    END IF;
    -- No append is to be half-way through counting for it.
    PERFORM event.lock_past(), event.lock_log();
    UPDATE event.projections SET name = NULL WHERE name = delete_projection.name;
    RETURN to_jsonb(FOUND);
END $$;

-- A page of values by key, then by subject, after a place; null without such a projection.
-- One limited scan for each subject, merged. Subjects that are one have a value for each key;
-- each of the page's keys is among the first `page_limit` of every subject that has it.
CREATE FUNCTION event.list_projection_values(
    name text, subject_ids text[], page_limit integer, key text DEFAULT NULL,
    combine boolean DEFAULT false, after_key text DEFAULT NULL, after_subject uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET timezone = 'UTC' AS $$
#variable_conflict use_column
DECLARE
    projection integer := (SELECT p.projection_id FROM event.projections p
                           WHERE p.name = list_projection_values.name);
BEGIN
    IF projection IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN (
        WITH found AS (
            SELECT v.*, CASE WHEN NOT list_projection_values.combine THEN v.subject_id END AS whose
            FROM (SELECT DISTINCT unnest(list_projection_values.subject_ids)::uuid) s (subject_id)
            CROSS JOIN LATERAL (
                SELECT v.* FROM event.projection_values v
                WHERE v.projection_id = projection AND v.subject_id = s.subject_id
                  AND (list_projection_values.key IS NULL OR v.key = list_projection_values.key)
                  AND v.key >= coalesce(list_projection_values.after_key, '')
                  AND (list_projection_values.after_key IS NULL
                       OR v.key > list_projection_values.after_key
                       OR v.key = list_projection_values.after_key
                          AND v.subject_id > list_projection_values.after_subject)
                ORDER BY v.key LIMIT list_projection_values.page_limit
            ) v
        ), combined AS (
            SELECT v.key, v.whose, sum(v.count)::bigint AS count, sum(v.sum) AS sum,
                   (array_agg(v.last ORDER BY v.last_position DESC))[1] AS last,
                   max(v.last_position) AS last_position,
                   (array_agg(v.last_occurred_at ORDER BY v.last_position DESC))[1]
                       AS last_occurred_at
            FROM found v GROUP BY v.key, v.whose
            ORDER BY v.key, v.whose LIMIT list_projection_values.page_limit
        )
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'subject_id', c.whose, 'key', c.key, 'count', c.count,
            'sum', event.as_double(c.sum), 'mean', event.as_double(c.sum / c.count),
            'last', event.as_double(c.last), 'last_position', c.last_position,
            'last_occurred_at', c.last_occurred_at) ORDER BY c.key, c.whose), '[]')
        FROM combined c);
END $$;
