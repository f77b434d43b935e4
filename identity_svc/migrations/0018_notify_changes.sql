-- Notices for those who keep answers to "who holds this account": each names, on the channel
-- `kith_identity`, what an answer hangs on and what has changed: ids with commas between, of
-- people as they were and are (root_id) and of links; `*` is everything.
--
-- An answer holds a link, the person it leads to, and what the people who are this person
-- decided. Whatever changes it changes a link, or a row whose root is that person, before or
-- after; so these ids find every answer, whoever else changes what at the same time.
-- A notice makes commits wait for one another, so there is none for what is written all the
-- time and is in no answer: being seen, metadata, registering, confirming.

CREATE FUNCTION identity.notify_changed() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
DECLARE
    most CONSTANT int := 100;
    -- How many rows have been named in this transaction; forgotten at its end.
    named int := coalesce(nullif(current_setting('kith.changes_named', true), ''), '0')::int;
    ids text;
BEGIN
    IF named >= most THEN
        -- The same notice twice in a transaction is one.
        PERFORM pg_notify('kith_identity', '*');
        RETURN NULL;
    END IF;
    PERFORM set_config('kith.changes_named', (named + 1)::text, true);
    IF TG_TABLE_NAME = 'identity_links' THEN
        ids := OLD.link_id;
    ELSE
        SELECT string_agg(DISTINCT id::text, ',') INTO ids
        FROM unnest(ARRAY[OLD.root_id, NEW.root_id]) id;
    END IF;
    PERFORM pg_notify('kith_identity', ids);
    RETURN NULL;
END $$;

-- Every column counts that is not named here, those too that are added later.
CREATE TRIGGER notify_changed AFTER UPDATE ON identity.identity_registry
    FOR EACH ROW WHEN (
        to_jsonb(OLD) - ARRAY['last_seen_at', 'seen_hour', 'metadata', 'etag']
            <> to_jsonb(NEW) - ARRAY['last_seen_at', 'seen_hour', 'metadata', 'etag']
    ) EXECUTE FUNCTION identity.notify_changed();
CREATE TRIGGER notify_deleted AFTER DELETE ON identity.identity_registry
    FOR EACH ROW EXECUTE FUNCTION identity.notify_changed();
-- Somebody who is an alias from the start adds their decisions to another's.
CREATE TRIGGER notify_inserted AFTER INSERT ON identity.identity_registry
    FOR EACH ROW WHEN (NEW.root_id <> NEW.person_id)
    EXECUTE FUNCTION identity.notify_changed();

-- An answer that is still to be confirmed is nowhere kept, so confirming changes none.
CREATE TRIGGER notify_changed AFTER UPDATE ON identity.identity_links
    FOR EACH ROW WHEN (
        to_jsonb(OLD) - 'registration_pending' <> to_jsonb(NEW) - 'registration_pending'
        OR NEW.registration_pending AND NOT OLD.registration_pending
    ) EXECUTE FUNCTION identity.notify_changed();
CREATE TRIGGER notify_deleted AFTER DELETE ON identity.identity_links
    FOR EACH ROW EXECUTE FUNCTION identity.notify_changed();
