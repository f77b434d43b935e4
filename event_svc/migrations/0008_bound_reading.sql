-- Reading within bounds: a call looks at so many rows and partitions and no more, whatever
-- its filter. Where that is not enough for a page, the page is short and the next goes on.
-- 40001: retention has dropped a day while the page was read; the same call succeeds.

-- The texts in an event's content, without the keys. Without SET, so that it is inlined.
CREATE FUNCTION event.texts_of(content jsonb) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(t #>> '{}', E'\x1f')
    FROM jsonb_path_query(content, 'strict $.** ? (@.type() == "string")') t
$$;

-- The part that the statements below share: the events of one subject ($1), group ($2) and
-- conversation ($3) between two positions ($8, $9), out of the days from $10 to before $11, in
-- order. Written so that along `scope` ("subject_id", "session_id", "group_id", or NULL for the
-- log itself) no index has this order but the scope's own, or the planner might walk through
-- the log for want of knowing better.
CREATE FUNCTION event.scan_clauses(descending boolean, scope text, columns text, filters text)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT format('
            SELECT %1$s FROM event.event_log e
            WHERE e.created_at >= $10 AND e.created_at < $11
              AND %2$s
              AND ($2 IS NULL OR e.group_id = $2 OR %3$L = ''group_id'')
              AND ($3 IS NULL OR e.session_id = $3 OR %3$L = ''session_id'')
              %4$s
            ORDER BY %5$s',
        scan_clauses.columns,
        CASE WHEN scan_clauses.scope IS NULL THEN 'e.position > $8 AND e.position < $9'
             ELSE format('e.%1$I IS NOT NULL
              AND (e.%1$I, e.position) > (%2$s, $8) AND (e.%1$I, e.position) < (%2$s, $9)',
                 scan_clauses.scope, key) END,
        scan_clauses.scope,
        scan_clauses.filters,
        CASE WHEN scan_clauses.scope IS NULL THEN format('e.position %1$s', direction)
             ELSE format('e.%2$I %1$s, e.position %1$s', direction, scan_clauses.scope) END)
    FROM (SELECT CASE scan_clauses.scope WHEN 'subject_id' THEN 's.subject_id'
                     WHEN 'session_id' THEN '$3' WHEN 'group_id' THEN '$2' END AS key,
                 CASE WHEN scan_clauses.descending THEN 'DESC' ELSE 'ASC' END AS direction) t
$$;

-- The statement that reads one page: at most $12 events of these types ($4), platforms ($5)
-- and times ($6, $7) whose texts match all of $13. One limited scan for each subject, merged.
-- Run with its arguments known, so that only partitions of those days are opened, and
-- conditions on what is NULL fall away.
DROP FUNCTION event.page_statement(boolean);
CREATE FUNCTION event.page_statement(descending boolean, scope text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT format('
        SELECT e.position, event.as_json(e) AS event,
               octet_length(e.content::text) + octet_length(e.metadata::text) AS size
        FROM unnest(coalesce($1, ARRAY[NULL]::uuid[])) s (subject_id)
        CROSS JOIN LATERAL (%1$s LIMIT $12) e
        ORDER BY e.position %2$s LIMIT $12',
        event.scan_clauses(page_statement.descending, page_statement.scope, 'e.*', '
              AND ($4 IS NULL OR e.event_type = ANY ($4))
              AND ($5 IS NULL OR e.platform = ANY ($5))
              AND ($6 IS NULL OR e.occurred_at >= $6)
              AND ($7 IS NULL OR e.occurred_at < $7)
              AND ($13 IS NULL OR event.texts_of(e.content) ~ ALL ($13))'),
        CASE WHEN page_statement.descending THEN 'DESC' ELSE 'ASC' END)
$$;

-- The statement that tells how far a page with a filter may look: $12 rows of each subject, of
-- $13 bytes as they are stored (only `weighed`). `looked`: how many rows that is; `border`: the
-- position that all subjects are looked at up to, NULL where that is the whole range.
CREATE FUNCTION event.look_statement(descending boolean, scope text, weighed boolean)
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT format('
        SELECT coalesce(sum(t.looked), 0)::bigint AS looked, %3$s(t.border) AS border
        FROM unnest(coalesce($1, ARRAY[NULL]::uuid[])) s (subject_id)
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE fits) AS looked,
                   CASE WHEN count(*) = $12 OR NOT bool_and(fits)
                        THEN %2$s(e.position) FILTER (WHERE fits) END AS border
            FROM (
                SELECT e.position, coalesce(sum(e.weight) OVER (ORDER BY e.position %4$s
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) < $13 AS fits
                FROM (%1$s LIMIT $12) e
            ) e
        ) t',
        event.scan_clauses(look_statement.descending, look_statement.scope,
            'e.position, ' || CASE WHEN look_statement.weighed
                THEN 'pg_column_size(e.content)' ELSE '0' END || ' AS weight', ''),
        CASE WHEN look_statement.descending THEN 'min' ELSE 'max' END,
        CASE WHEN look_statement.descending THEN 'max' ELSE 'min' END,
        CASE WHEN look_statement.descending THEN 'DESC' ELSE 'ASC' END)
$$;

-- Up to where retention has dropped the log by now. VOLATILE, and so with a snapshot of its
-- own also inside of readers.
CREATE FUNCTION event.expired_by_now() RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
BEGIN
    RETURN (SELECT h.expired_position FROM event.log_head h);
END $$;

-- The days that may hold something between two positions for a filter, in the order of
-- reading; `place` numbers the days of the log, so that neighbours can be told.
CREATE FUNCTION event.days_to_read(
    descending boolean, after_position bigint, before_position bigint,
    event_types text[], platforms text[], occurred_from timestamptz, occurred_to timestamptz,
    OUT days date[], OUT firsts bigint[], OUT places integer[]
) LANGUAGE plpgsql STABLE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    SELECT array_agg(t.day ORDER BY t.place), array_agg(t.first_position ORDER BY t.place),
           array_agg(t.place ORDER BY t.place)
    INTO days_to_read.days, days_to_read.firsts, days_to_read.places
    FROM (
        SELECT p.*, (row_number() OVER (ORDER BY p.day)
                     * CASE WHEN days_to_read.descending THEN -1 ELSE 1 END)::integer AS place
        FROM event.partitions p WHERE p.first_position IS NOT NULL
    ) t
    WHERE t.first_position < days_to_read.before_position
      AND t.day >= coalesce((SELECT max(q.day) FROM event.partitions q
                             WHERE q.first_position - 1 <= days_to_read.after_position), t.day)
      AND (t.events IS NULL  -- still open
           OR (days_to_read.event_types IS NULL OR t.event_types IS NULL
               OR t.event_types && days_to_read.event_types)
          AND (days_to_read.platforms IS NULL OR t.platforms IS NULL
               OR t.platforms && days_to_read.platforms)
          AND (days_to_read.occurred_from IS NULL
               OR t.last_occurred_at >= days_to_read.occurred_from)
          AND (days_to_read.occurred_to IS NULL
               OR t.first_occurred_at < days_to_read.occurred_to));
END $$;

-- A page: {"events", "more", "scanned_position"}. At most `page_limit` events and about
-- 3 MiB of content; `more` tells whether others may follow. All between where the page began
-- and `scanned_position` has been looked at; on the last page that is the log's end, or 0
-- where the newest come first.
--
-- STABLE, so that every statement in here sees what the calling statement sees: the log's
-- end and the events belong to the same moment, and nothing committed between two
-- statements can be passed over.
--
-- It reads the days from the near end of the log in growing steps until the page is full,
-- since most pages are full after the first, and planning costs time for each partition.
CREATE FUNCTION event.read_events(
    page_limit integer,
    descending boolean,
    after_position bigint,
    before_position bigint,
    subject_ids uuid[],
    group_id uuid,
    session_id uuid,
    event_types text[],
    platforms text[],
    occurred_from timestamptz,
    occurred_to timestamptz,
    patterns text[]
) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    most_bytes CONSTANT bigint := 3 << 20;
    most_looked_bytes CONSTANT bigint := 4 << 20;
    subjects CONSTANT integer := coalesce(cardinality(read_events.subject_ids), 1);
    -- Partitions, and look-ups in them.
    most_days CONSTANT integer := least(128, greatest(20000 / greatest(subjects, 1), 1));
    scope CONSTANT text := CASE WHEN read_events.subject_ids IS NOT NULL THEN 'subject_id'
        WHEN read_events.session_id IS NOT NULL THEN 'session_id'
        WHEN read_events.group_id IS NOT NULL THEN 'group_id' END;
    is_sifted CONSTANT boolean := coalesce(
        read_events.event_types::text, read_events.platforms::text,
        read_events.occurred_from::text, read_events.occurred_to::text,
        read_events.patterns::text) IS NOT NULL;
    looks bigint := 10000;  -- rows that may still be looked at
    after bigint := read_events.after_position;
    before bigint := coalesce(read_events.before_position, 9223372036854775807);
    head_position bigint;
    days date[]; firsts bigint[]; places integer[];
    days_read integer := 0;
    last_day integer;
    step integer := 1;
    range_from timestamptz; range_to timestamptz;
    looked bigint;
    border bigint;  -- the last position that may be looked at, NULL for no such
    piece record;
    events jsonb := '[]';
    bytes bigint := 0;
    stopped_at bigint;
BEGIN
    SELECT h.position INTO head_position FROM event.log_head h;
    SELECT * INTO days, firsts, places FROM event.days_to_read(
        read_events.descending, after, before, read_events.event_types, read_events.platforms,
        read_events.occurred_from, read_events.occurred_to);

    WHILE days_read < cardinality(days) AND stopped_at IS NULL LOOP
        IF days_read >= most_days THEN
            stopped_at := CASE WHEN read_events.descending THEN firsts[days_read]
                               ELSE firsts[days_read + 1] - 1 END;
            EXIT;
        END IF;
        -- Up to `step` days without a gap, for the days in a gap would be opened as well.
        last_day := days_read + 1;
        WHILE last_day < least(days_read + step, cardinality(days), most_days)
              AND places[last_day + 1] = places[last_day] + 1 LOOP
            last_day := last_day + 1;
        END LOOP;
        range_from := event.start_of(least(days[days_read + 1], days[last_day]));
        range_to := event.start_of(greatest(days[days_read + 1], days[last_day]) + 1);

        IF is_sifted THEN
            EXECUTE event.look_statement(
                read_events.descending, scope, read_events.patterns IS NOT NULL)
            INTO looked, border
            USING read_events.subject_ids, read_events.group_id, read_events.session_id,
                  NULL, NULL, NULL, NULL, after, before, range_from, range_to,
                  greatest(looks / subjects, 1), most_looked_bytes / subjects;
            looks := looks - looked;
            IF read_events.descending THEN
                after := greatest(after, border - 1);
            ELSE
                before := least(before, border + 1);
            END IF;
        END IF;
        EXECUTE format('
            WITH page AS (
                SELECT event, size, row_number() OVER place AS number,
                       sum(size) OVER place AS size_so_far
                FROM (%s) page
                WINDOW place AS (ORDER BY position %s)
            ), judged AS (
                SELECT *, number < $12 AND size_so_far - size < $14 AS fits FROM page
            )
            SELECT coalesce(jsonb_agg(event ORDER BY number) FILTER (WHERE fits), ''[]'') AS events,
                   coalesce(sum(size) FILTER (WHERE fits), 0) AS bytes,
                   coalesce(bool_or(NOT fits), false) AS more
            FROM judged',
            event.page_statement(read_events.descending, scope),
            CASE WHEN read_events.descending THEN 'DESC' ELSE 'ASC' END)
        INTO piece
        USING read_events.subject_ids, read_events.group_id, read_events.session_id,
              read_events.event_types, read_events.platforms, read_events.occurred_from,
              read_events.occurred_to, after, before, range_from, range_to,
              -- One more than fits, to learn whether others follow.
              (read_events.page_limit - jsonb_array_length(events) + 1)::bigint,
              read_events.patterns, most_bytes - bytes;
        events := events || piece.events;
        bytes := bytes + piece.bytes;
        stopped_at := CASE WHEN piece.more THEN (events -> -1 ->> 'position')::bigint
                           ELSE border END;
        days_read := last_day;
        step := least(step * 4, 64);
    END LOOP;

    -- Days that were dropped after the statement's snapshot look empty. What the statements
    -- above have opened cannot be dropped any more, so this is the moment to ask.
    IF least(firsts[1], firsts[days_read]) <= event.expired_by_now() THEN
        RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'a day was dropped meanwhile';
    END IF;
    RETURN jsonb_build_object(
        'events', events, 'more', stopped_at IS NOT NULL,
        'scanned_position', coalesce(
            stopped_at, CASE WHEN read_events.descending THEN 0 ELSE head_position END));
END $$;

-- A page of what a filter chooses; see read_events. Never without an event where there is no
-- filter and the log has one.
CREATE OR REPLACE FUNCTION event.list_events(
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
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET timezone = 'UTC'
-- Along the indexes, whatever the planner thinks of a day that it knows nothing about.
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN event.read_events(
        list_events.page_limit, list_events.descending, list_events.after_position,
        list_events.before_position, list_events.subject_ids::uuid[], list_events.group_id,
        list_events.session_id, list_events.event_types, list_events.platforms,
        list_events.occurred_from, list_events.occurred_to, NULL);
END $$;

-- A page, the newest first, of what a filter chooses and whose texts match every one of the
-- regular expressions in `patterns`; see read_events.
CREATE FUNCTION event.search_events(
    page_limit integer,
    patterns text[],
    before_position bigint DEFAULT NULL,
    subject_ids text[] DEFAULT NULL,
    group_id uuid DEFAULT NULL,
    session_id uuid DEFAULT NULL,
    event_types text[] DEFAULT NULL,
    platforms text[] DEFAULT NULL,
    occurred_from timestamptz DEFAULT NULL,
    occurred_to timestamptz DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET timezone = 'UTC'
-- Along the indexes, whatever the planner thinks of a day that it knows nothing about.
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN event.read_events(
        search_events.page_limit, true, 0, search_events.before_position,
        search_events.subject_ids::uuid[], search_events.group_id, search_events.session_id,
        search_events.event_types, search_events.platforms, search_events.occurred_from,
        search_events.occurred_to, search_events.patterns);
END $$;
