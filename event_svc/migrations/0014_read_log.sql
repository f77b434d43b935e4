-- Reading on behalf of subscriptions, which are told when retention took what they had not seen.

-- The next events after a position: {"events", "scanned_position", "at_end",
-- "expired_position"}. At most `page_limit` of them, chosen as by list_events, out of at most
-- `most_positions` positions (NULL: all there are), so that a filter which no index serves
-- cannot take arbitrarily long. Everything up to `scanned_position` has been looked at;
-- `at_end`: that was the log's end.
--
-- VOLATILE, so that each statement sees what is committed when it begins: the bound of what
-- has expired is read after the events. Were it of the same moment, a partition dropped in
-- between would look like a log without these events.
CREATE FUNCTION event.read_log(
    page_limit integer,
    after_position bigint,
    most_positions bigint DEFAULT NULL,
    subject_ids text[] DEFAULT NULL,
    group_id uuid DEFAULT NULL,
    session_id uuid DEFAULT NULL,
    event_types text[] DEFAULT NULL,
    platforms text[] DEFAULT NULL,
    occurred_from timestamptz DEFAULT NULL,
    occurred_to timestamptz DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    -- NULL plus anything is NULL: no bound.
    last_position CONSTANT bigint := read_log.after_position + read_log.most_positions;
    page jsonb;
    scanned_position bigint;
    expired_position bigint;
BEGIN
    page := event.list_events(
        page_limit => read_log.page_limit,
        after_position => read_log.after_position,
        before_position => last_position + 1,
        subject_ids => read_log.subject_ids,
        group_id => read_log.group_id,
        session_id => read_log.session_id,
        event_types => read_log.event_types,
        platforms => read_log.platforms,
        occurred_from => read_log.occurred_from,
        occurred_to => read_log.occurred_to);
    scanned_position := (page ->> 'scanned_position')::bigint;
    SELECT h.expired_position INTO expired_position FROM event.log_head h;
    RETURN jsonb_build_object(
        'events', page -> 'events',
        'scanned_position', least(scanned_position, last_position),
        'at_end', NOT (page ->> 'more')::boolean
            AND scanned_position <= coalesce(last_position, scanned_position),
        'expired_position', expired_position);
END $$;
