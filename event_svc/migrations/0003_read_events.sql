-- Reading: single events, and pages in order of position.

-- An event as every reader shows it. Without SET, so that it is inlined.
CREATE FUNCTION event.as_json(e event.event_log) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'event_id', e.event_id, 'position', e.position, 'subject_id', e.subject_id,
        'person_id', e.person_id, 'link_id', e.link_id, 'group_id', e.group_id,
        'session_id', e.session_id, 'session_key', e.session_key, 'event_type', e.event_type,
        'platform', e.platform, 'content', e.content, 'metadata', e.metadata,
        'occurred_at', e.occurred_at, 'created_at', e.created_at,
        'consent_version', e.consent_version)
$$;

-- The statement that reads one page out of the days from $10 to before $11: at most $12
-- events. One limited scan for each subject, merged; each goes along an index that ends in
-- the position. Run with its arguments known, so that only partitions of those days are
-- opened, and conditions on what is NULL fall away.
CREATE FUNCTION event.page_statement(descending boolean) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT format('
        SELECT e.position, event.as_json(e) AS event,
               octet_length(e.content::text) + octet_length(e.metadata::text) AS size
        FROM unnest(coalesce($1, ARRAY[NULL]::uuid[])) s (subject_id)
        CROSS JOIN LATERAL (
            SELECT e.* FROM event.event_log e
            WHERE ($1 IS NULL OR e.subject_id = s.subject_id)
              AND ($2 IS NULL OR e.group_id = $2)
              AND ($3 IS NULL OR e.session_id = $3)
              AND ($4 IS NULL OR e.event_type = ANY ($4))
              AND ($5 IS NULL OR e.platform = ANY ($5))
              AND ($6 IS NULL OR e.occurred_at >= $6)
              AND ($7 IS NULL OR e.occurred_at < $7)
              AND e.position > $8 AND e.position < $9
              AND e.created_at >= $10 AND e.created_at < $11
            ORDER BY e.position %1$s LIMIT $12
        ) e
        ORDER BY e.position %1$s LIMIT $12',
        CASE WHEN page_statement.descending THEN 'DESC' ELSE 'ASC' END)
$$;

-- A page: {"events", "more", "scanned_position"}. At most `page_limit` events and about
-- 3 MiB of content, but at least one where there is one; `more` tells whether others follow.
-- `scanned_position`: every event committed up to it has been looked at (ascending only).
--
-- STABLE, so that every statement in here sees what the calling statement sees: the log's
-- end and the events belong to the same moment, and nothing committed between two
-- statements can be passed over.
--
-- It reads the days from the near end of the log in growing steps until the page is full,
-- since most pages are full after the first, and planning costs time for each partition.
CREATE FUNCTION event.list_events(
    page_limit integer,
    descending boolean DEFAULT false,
    after_position bigint DEFAULT 0,
    before_position bigint DEFAULT NULL,
    subject_ids text[] DEFAULT NULL,
    group_id uuid DEFAULT NULL,
    session_id uuid DEFAULT NULL,
    event_types text[] DEFAULT NULL,
    platforms text[] DEFAULT NULL,
    occurred_from timestamptz DEFAULT NULL,
    occurred_to timestamptz DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET timezone = 'UTC' AS $$
#variable_conflict use_column
DECLARE
    most_bytes CONSTANT bigint := 3 << 20;
    before CONSTANT bigint := coalesce(list_events.before_position, 9223372036854775807);
    days date[];
    days_read integer := 0;
    step integer := 1;
    near date;
    far date;
    piece record;
    events jsonb := '[]';
    bytes bigint := 0;
    more boolean := false;
BEGIN
    days := ARRAY(
        SELECT p.day FROM event.partitions p
        WHERE p.first_position < before
          AND p.day >= coalesce((SELECT max(q.day) FROM event.partitions q
                                 WHERE q.first_position - 1 <= list_events.after_position), p.day)
        ORDER BY (p.day - date 'epoch') * CASE WHEN list_events.descending THEN -1 ELSE 1 END
    );
    WHILE days_read < cardinality(days) AND NOT more LOOP
        near := days[days_read + 1];
        far := days[least(days_read + step, cardinality(days))];
        EXECUTE format('
            WITH page AS (
                SELECT event, size, row_number() OVER place AS number,
                       sum(size) OVER place AS size_so_far
                FROM (%s) page
                WINDOW place AS (ORDER BY position %s)
            ), judged AS (
                SELECT *, number < $12 AND size_so_far - size < $13 AS fits FROM page
            )
            SELECT coalesce(jsonb_agg(event ORDER BY number) FILTER (WHERE fits), ''[]'') AS events,
                   coalesce(sum(size) FILTER (WHERE fits), 0) AS bytes,
                   coalesce(bool_or(NOT fits), false) AS more
            FROM judged',
            event.page_statement(list_events.descending),
            CASE WHEN list_events.descending THEN 'DESC' ELSE 'ASC' END)
        INTO piece
        USING list_events.subject_ids::uuid[], list_events.group_id, list_events.session_id,
              list_events.event_types, list_events.platforms, list_events.occurred_from,
              list_events.occurred_to, list_events.after_position, before,
              event.start_of(least(near, far)), event.start_of(greatest(near, far) + 1),
              -- One more than fits, to learn whether others follow.
              (list_events.page_limit - jsonb_array_length(events) + 1)::bigint,
              most_bytes - bytes;
        events := events || piece.events;
        bytes := bytes + piece.bytes;
        more := piece.more;
        days_read := days_read + step;
        step := least(step * 4, 64);
    END LOOP;

    RETURN jsonb_build_object('events', events, 'more', more, 'scanned_position', CASE
        WHEN list_events.descending THEN 0
        WHEN more THEN (events -> -1 ->> 'position')::bigint
        ELSE (SELECT h.position FROM event.log_head h) END);
END $$;

-- One event by its id, or null. The planner is to know created_at, and so the partition.
CREATE FUNCTION event.get_event(event_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
SET plan_cache_mode = 'force_custom_plan' SET timezone = 'UTC' AS $$
#variable_conflict use_column
DECLARE
    place record;
BEGIN
    SELECT i.position, i.created_at INTO place
    FROM event.event_ids i WHERE i.event_id = get_event.event_id;
    RETURN (SELECT event.as_json(e) FROM event.event_log e
            WHERE e.position = place.position AND e.created_at = place.created_at);
END $$;
