-- Retention, and what the log is kept in: partitions, or a hypertable where TimescaleDB is.
-- 55P03: readers or appends hold what a day's drop needs for too long; nothing was dropped.

-- What event_log is, decided once, below, by what the database had to offer.
CREATE TABLE event.layout (
    is_layout  boolean PRIMARY KEY DEFAULT true CHECK (is_layout),  -- so that there is one row
    kind       text NOT NULL CHECK (kind IN ('partitions', 'hypertable'))
);
ALTER TABLE event.layout ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION event.has_hypertable() RETURNS boolean
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT coalesce((SELECT l.kind = 'hypertable' FROM event.layout l), false)
$$;

-- Calls a function of TimescaleDB, wherever it is installed: the only place that does.
CREATE FUNCTION event.call_timescale(call text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
DECLARE
    home text := (SELECT x.extnamespace::regnamespace::text FROM pg_extension x
                  WHERE x.extname = 'timescaledb');
BEGIN
    EXECUTE format('SELECT count(*) FROM %s.%s', home, call_timescale.call);
END $$;

-- Makes the partition of a day unless it is there. To be called under the log's lock.
-- CREATE and ATTACH, because CREATE TABLE ... PARTITION OF would lock out every reader.
-- A hypertable makes its chunks itself; the day is listed all the same, for its positions.
CREATE OR REPLACE FUNCTION event.make_partition(day date) RETURNS text
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
    IF event.has_hypertable() THEN
        RETURN name;
    END IF;
    EXECUTE format('CREATE TABLE event.%I (LIKE event.event_log INCLUDING ALL)', name);
    EXECUTE format('ALTER TABLE event.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format(
        'ALTER TABLE event.event_log ATTACH PARTITION event.%I FOR VALUES FROM (%L) TO (%L)',
        name, event.start_of(make_partition.day), event.start_of(make_partition.day + 1)
    );
    RETURN name;
END $$;

-- The first day that is kept where so many whole days before today are.
CREATE FUNCTION event.first_kept_day(keep_days integer) RETURNS date
LANGUAGE sql VOLATILE SET search_path = '' AS $$
    SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date - greatest(first_kept_day.keep_days, 1)
$$;

-- How many events a day has, and the last of their positions.
CREATE FUNCTION event.measure_day(day date, OUT events bigint, OUT last_position bigint)
LANGUAGE plpgsql VOLATILE SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
BEGIN
    SELECT p.events, p.last_position INTO events, last_position
    FROM event.partitions p WHERE p.day = measure_day.day;
    IF events IS NULL THEN
        SELECT count(*), max(e.position) INTO events, last_position FROM event.event_log e
        WHERE e.created_at >= event.start_of(measure_day.day)
          AND e.created_at < event.start_of(measure_day.day + 1);
    END IF;
END $$;

-- The days that retention would drop, the oldest first: [{"day", "events"}, ...].
CREATE FUNCTION event.list_expired_days(keep_days integer) RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('day', p.day, 'events', m.events)
                              ORDER BY p.day), '[]')
    FROM event.partitions p CROSS JOIN LATERAL event.measure_day(p.day) m
    WHERE p.day < event.first_kept_day(list_expired_days.keep_days)
$$;

-- Drops the oldest of the days before those that are kept: {"day", "events"}, or null where
-- there is none. One day, because readers and appends wait meanwhile; and no long wait for
-- whoever reads just now, because all who come later would wait behind it.
CREATE FUNCTION event.drop_expired_day(keep_days integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '250ms' AS $$
#variable_conflict use_column
DECLARE
    first_kept CONSTANT date := event.first_kept_day(drop_expired_day.keep_days);
    expired record;
    held record;
BEGIN
    -- Mostly there is nothing to do, and then appends need not wait for it.
    IF NOT EXISTS (SELECT FROM event.partitions p WHERE p.day < first_kept) THEN
        RETURN NULL;
    END IF;
    -- Redaction and erasure take the past's lock (0010) before the log's: so does this.
    PERFORM event.lock_past(), event.lock_log();
    SELECT p.day, p.name INTO expired FROM event.partitions p
    WHERE p.day < first_kept ORDER BY p.day LIMIT 1 FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    held := event.measure_day(expired.day);
    IF event.has_hypertable() THEN
        PERFORM event.call_timescale(format(
            'drop_chunks(%L::regclass, older_than => %L::timestamptz)',
            'event.event_log', event.start_of(expired.day + 1)));
    ELSE
        EXECUTE format('DROP TABLE event.%I', expired.name);
    END IF;
    DELETE FROM event.partitions WHERE day = expired.day;
    UPDATE event.log_head SET expired_position = greatest(expired_position, held.last_position);
    RETURN jsonb_build_object('day', expired.day, 'events', held.events);
END $$;

-- Forgets the ids of dropped events from before the days that are kept, out of a few
-- megabytes of event_ids from `from_block` on: {"forgotten", "next_block"}, the latter null
-- at the end. The table is walked once, in place of an index that every append would pay.
CREATE FUNCTION event.forget_ids(keep_days integer, from_block bigint, dry_run boolean)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    most_blocks CONSTANT bigint := 500;
    next_block CONSTANT bigint := forget_ids.from_block + most_blocks;
    blocks CONSTANT bigint := pg_relation_size('event.event_ids')
                              / current_setting('block_size')::bigint;
    first_kept date := event.first_kept_day(forget_ids.keep_days);
    forgotten bigint;
BEGIN
    IF NOT forget_ids.dry_run THEN
        -- An id goes after its event, never before it.
        first_kept := least(first_kept, (SELECT min(p.day) FROM event.partitions p));
        DELETE FROM event.event_ids i
        WHERE i.ctid >= format('(%s,0)', forget_ids.from_block)::tid
          AND i.ctid < format('(%s,0)', next_block)::tid
          AND i.created_at < event.start_of(first_kept);
        GET DIAGNOSTICS forgotten = ROW_COUNT;
    ELSE
        SELECT count(*) INTO forgotten FROM event.event_ids i
        WHERE i.ctid >= format('(%s,0)', forget_ids.from_block)::tid
          AND i.ctid < format('(%s,0)', next_block)::tid
          AND i.created_at < event.start_of(first_kept);
    END IF;
    RETURN jsonb_build_object('forgotten', forgotten,
        'next_block', CASE WHEN next_block < blocks THEN next_block END);
END $$;

-- The choice. A hypertable is made of a plain table, so the partitioned one goes; that is
-- done only while nothing was logged. Whatever fails leaves the partitions as they are.
DO $$
DECLARE
    as_json text := pg_get_functiondef('event.as_json'::regproc);
    kind text := 'partitions';
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')
        AND NOT EXISTS (SELECT FROM event.event_log)
    THEN
        BEGIN
            CREATE TABLE event.hypertable (LIKE event.event_log INCLUDING ALL);
            ALTER TABLE event.hypertable ENABLE ROW LEVEL SECURITY;
            -- It takes the table's row for its argument.
            DROP FUNCTION event.as_json(event.event_log);
            DROP TABLE event.event_log;
            ALTER TABLE event.hypertable RENAME TO event_log;
            EXECUTE as_json;
            PERFORM event.call_timescale(
                'create_hypertable(''event.event_log''::regclass, ''created_at'','
                ' chunk_time_interval => interval ''1 day'', create_default_indexes => false)');
            kind := 'hypertable';
        EXCEPTION WHEN OTHERS THEN
            RAISE NOTICE 'the log stays partitioned: %', SQLERRM;
        END;
    END IF;
    INSERT INTO event.layout (kind) VALUES (kind);
END $$;
