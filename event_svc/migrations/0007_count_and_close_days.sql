-- What readers need not look at the log for: counts by the hour, and what a past day holds.

-- The events that were logged before there were counts. All are counted anew, under the
-- log's lock, so that none is missing and none counts twice whatever appends have counted
-- already; appends wait, and past two seconds answer UNAVAILABLE, until it is done.
SELECT event.lock_log();
DELETE FROM event.event_counts;
INSERT INTO event.event_counts (hour, event_type, platform, count)
SELECT date_trunc('hour', e.created_at, 'UTC'), e.event_type, e.platform, count(*)
FROM event.event_log e
GROUP BY 1, 2, 3;

-- Counts from `counted_from` to before `counted_to` by bucket ('hour', 'day', 'week' or
-- 'month', in UTC): [{"start", "event_type", "platform", "count"}, ...], in this order and
-- at most `most`. What is not told apart is null.
CREATE FUNCTION event.get_event_stats(
    bucket text,
    counted_from timestamptz,
    counted_to timestamptz,
    event_types text[],
    platforms text[],
    by_event_type boolean,
    by_platform boolean,
    most integer
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET timezone = 'UTC' AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY start, event_type, platform), '[]')
        FROM (
            SELECT date_trunc(get_event_stats.bucket, c.hour) AS start,
                   CASE WHEN get_event_stats.by_event_type THEN c.event_type END AS event_type,
                   CASE WHEN get_event_stats.by_platform THEN c.platform END AS platform,
                   sum(c.count)::bigint AS count
            FROM event.event_counts c
            WHERE c.hour >= get_event_stats.counted_from AND c.hour < get_event_stats.counted_to
              AND (get_event_stats.event_types IS NULL
                   OR c.event_type = ANY (get_event_stats.event_types))
              AND (get_event_stats.platforms IS NULL
                   OR c.platform = ANY (get_event_stats.platforms))
            GROUP BY 1, 2, 3 HAVING sum(c.count) > 0
            ORDER BY 1, 2, 3 LIMIT get_event_stats.most
        ) t
    );
END $$;

-- What a day holds, written once no event can come to it any more; NULL before. A reader
-- with a filter passes over the days that hold nothing for it.
ALTER TABLE event.partitions
    ADD COLUMN events             bigint,       -- how many; NULL while the day is open
    ADD COLUMN last_position      bigint,       -- NULL where there is none
    ADD COLUMN first_occurred_at  timestamptz,
    ADD COLUMN last_occurred_at   timestamptz,
    ADD COLUMN event_types        text[],       -- NULL where there are too many to keep
    ADD COLUMN platforms          text[];       -- the same

-- Closes up to `most` days that the log's time has left behind, the oldest first; answers
-- them. The log's time never goes back, so no event can come to them any more.
CREATE FUNCTION event.close_days(most integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
-- The planner is to know the day, and so the partition.
SET plan_cache_mode = 'force_custom_plan' SET timezone = 'UTC' AS $$
#variable_conflict use_column
DECLARE
    most_names CONSTANT integer := 256;
    open_day date;
    closed date[] := '{}';
BEGIN
    FOR open_day IN
        SELECT p.day FROM event.partitions p
        WHERE p.events IS NULL
          AND p.day < (SELECT (h.created_at AT TIME ZONE 'UTC')::date FROM event.log_head h)
        ORDER BY p.day LIMIT close_days.most
        -- Another replica may be at it.
        FOR UPDATE SKIP LOCKED
    LOOP
        UPDATE event.partitions p
        SET events = t.events, last_position = t.last_position,
            first_occurred_at = t.first_occurred_at, last_occurred_at = t.last_occurred_at,
            event_types = CASE WHEN cardinality(t.event_types) <= most_names THEN t.event_types END,
            platforms = CASE WHEN cardinality(t.platforms) <= most_names THEN t.platforms END
        FROM (
            SELECT count(*) AS events, max(e.position) AS last_position,
                   min(e.occurred_at) AS first_occurred_at, max(e.occurred_at) AS last_occurred_at,
                   coalesce(array_agg(DISTINCT e.event_type), '{}') AS event_types,
                   coalesce(array_agg(DISTINCT e.platform), '{}') AS platforms
            FROM event.event_log e
            WHERE e.created_at >= event.start_of(open_day)
              AND e.created_at < event.start_of(open_day + 1)
        ) t
        WHERE p.day = open_day;
        closed := closed || open_day;
    END LOOP;
    RETURN to_jsonb(closed);
END $$;
