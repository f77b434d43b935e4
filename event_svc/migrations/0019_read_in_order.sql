-- Where a filter lets hardly anything through, the planner would rather read a whole day for each
-- subject, and sort what is left of it, than go along the index that has the order. Only of two
-- scopes at once (somebody in a group) another index than that of the first may be the better one.

-- As read_events, but never sorting what an index has in order.
CREATE FUNCTION event.read_in_order(
    page_limit integer, descending boolean, after_position bigint, before_position bigint,
    subject_ids uuid[], group_id uuid, session_id uuid, event_types text[], platforms text[],
    occurred_from timestamptz, occurred_to timestamptz, patterns text[]
) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = ''
SET enable_sort = off SET enable_incremental_sort = off AS $$
BEGIN
    RETURN event.read_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);
END $$;

-- A page, along the index of its scope, or along what is best where it has several.
CREATE FUNCTION event.read_along(
    page_limit integer, descending boolean, after_position bigint, before_position bigint,
    subject_ids uuid[], group_id uuid, session_id uuid, event_types text[], platforms text[],
    occurred_from timestamptz, occurred_to timestamptz, patterns text[]
) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
BEGIN
    IF num_nonnulls(subject_ids, group_id, session_id) > 1 THEN
        RETURN event.read_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);
    END IF;
    RETURN event.read_in_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);
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
    RETURN event.read_along(
        list_events.page_limit, list_events.descending, list_events.after_position,
        list_events.before_position, list_events.subject_ids::uuid[], list_events.group_id,
        list_events.session_id, list_events.event_types, list_events.platforms,
        list_events.occurred_from, list_events.occurred_to, NULL);
END $$;

-- A page, the newest first, of what a filter chooses and whose texts match every one of the
-- regular expressions in `patterns`; see read_events.
CREATE OR REPLACE FUNCTION event.search_events(
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
    RETURN event.read_along(
        search_events.page_limit, true, 0, search_events.before_position,
        search_events.subject_ids::uuid[], search_events.group_id, search_events.session_id,
        search_events.event_types, search_events.platforms, search_events.occurred_from,
        search_events.occurred_to, search_events.patterns);
END $$;
