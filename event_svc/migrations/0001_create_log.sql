-- The log of everything that happened: one table, one partition for each UTC day.
-- Reached only through the functions of this schema.

CREATE TABLE event.event_log (
    position         bigint NOT NULL CHECK (position > 0),
    created_at       timestamptz NOT NULL,   -- the log's time
    occurred_at      timestamptz NOT NULL,   -- the client's time
    consent_version  bigint NOT NULL,        -- 0 where none applied
    event_id         uuid NOT NULL,
    subject_id       uuid,                   -- the link, or where there is none the person
    person_id        uuid,
    link_id          uuid,
    group_id         uuid,
    session_id       uuid,                   -- a conversation
    session_key      text,                   -- its name, where that was no UUID
    event_type       text NOT NULL CHECK (event_type <> ''),
    platform         text NOT NULL CHECK (platform <> ''),
    content          jsonb NOT NULL,
    metadata         jsonb NOT NULL,
    PRIMARY KEY (position, created_at)       -- the partition key has to be in it
) PARTITION BY RANGE (created_at);

-- Every partition gets these. All end in the position, which is the order of every page.
CREATE INDEX event_log_subject ON event.event_log (subject_id, position)
    WHERE subject_id IS NOT NULL;
CREATE INDEX event_log_group ON event.event_log (group_id, position) WHERE group_id IS NOT NULL;
CREATE INDEX event_log_session ON event.event_log (session_id, position)
    WHERE session_id IS NOT NULL;

-- Every event that ever was: a partitioned table cannot keep an id unique by itself.
-- It holds no word of what was said, and outlives the partitions.
CREATE TABLE event.event_ids (
    event_id    uuid PRIMARY KEY,
    position    bigint,                      -- NULL once erasure has cleared it
    created_at  timestamptz NOT NULL,
    body_hash   bytea                        -- NULL once erasure has cleared it
);

-- The log's end. Appends read and move it under the log's lock.
CREATE TABLE event.log_head (
    is_head     boolean PRIMARY KEY DEFAULT true CHECK (is_head),  -- so that there is one row
    position    bigint NOT NULL,
    created_at  timestamptz NOT NULL
);
INSERT INTO event.log_head (position, created_at) VALUES (0, 'epoch');

-- The partitions, and where each begins: a reader by position opens only those it needs.
CREATE TABLE event.partitions (
    day             date PRIMARY KEY,        -- of created_at, in UTC
    name            text NOT NULL UNIQUE,
    first_position  bigint UNIQUE            -- NULL while it is empty
);

ALTER TABLE event.event_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE event.event_ids ENABLE ROW LEVEL SECURITY;
ALTER TABLE event.log_head ENABLE ROW LEVEL SECURITY;
ALTER TABLE event.partitions ENABLE ROW LEVEL SECURITY;

-- Takes the log's lock until the end of the transaction. Whoever waits for it longer than
-- the caller's lock_timeout gets 55P03.
CREATE FUNCTION event.lock_log() RETURNS void
LANGUAGE sql VOLATILE SET search_path = '' AS $$
    SELECT pg_advisory_xact_lock(x'6b6974685f6c6f67'::bigint)  -- "kith_log"
$$;

CREATE FUNCTION event.start_of(day date) RETURNS timestamptz
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT start_of.day::timestamp AT TIME ZONE 'UTC'
$$;

-- Makes the partition of a day unless it is there. To be called under the log's lock.
-- CREATE and ATTACH, because CREATE TABLE ... PARTITION OF would lock out every reader.
CREATE FUNCTION event.make_partition(day date) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    name text := 'event_log_' || to_char(make_partition.day, 'YYYYMMDD');
BEGIN
    INSERT INTO event.partitions (day, name) VALUES (make_partition.day, name)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    EXECUTE format('CREATE TABLE event.%I (LIKE event.event_log INCLUDING ALL)', name);
    EXECUTE format('ALTER TABLE event.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format(
        'ALTER TABLE event.event_log ATTACH PARTITION event.%I FOR VALUES FROM (%L) TO (%L)',
        name, event.start_of(make_partition.day), event.start_of(make_partition.day + 1)
    );
    RETURN name;
END $$;

-- Makes the partitions of today and of the next days; answers the names of new ones.
CREATE FUNCTION event.ensure_partitions(days_ahead integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    missing date[];
    made jsonb;
BEGIN
    -- Mostly there is nothing to do, and then appends need not wait for it.
    missing := ARRAY(
        SELECT today + n FROM generate_series(0, least(days_ahead, 366)) n
        EXCEPT SELECT day FROM event.partitions
    );
    IF cardinality(missing) = 0 THEN
        RETURN '[]'::jsonb;
    END IF;
    PERFORM event.lock_log();
    SELECT jsonb_agg(name ORDER BY name) FILTER (WHERE name IS NOT NULL) INTO made
    FROM (SELECT event.make_partition(day) AS name FROM unnest(missing) day) t;
    RETURN coalesce(made, '[]'::jsonb);
END $$;
