-- Notices for those who keep answers to "who holds this account": each names, on the channel
-- `kith_identity`, the id that an answer hangs on and that has changed: that of a link, or of
-- a person as they were until then (root_id); `*` is everything.
--
-- An answer is made of a link and the row of the person whose link it is, and names both, the
-- latter by its root_id; what people who are one decided is in each of their rows. So whatever
-- changes an answer changes one of the two rows, and what the row said before is the name under
-- which the answer is kept, whoever else changes what at the same time.
-- A notice makes commits wait for one another, so there is none for what is written all the
-- time and is in no answer: being seen, metadata, registering, confirming.

CREATE FUNCTION identity.notify_changed() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
DECLARE
    most CONSTANT int := 100;
    -- How many rows have been named in this transaction; forgotten at its end.
    named int := coalesce(nullif(current_setting('kith.changes_named', true), ''), '0')::int;
BEGIN
    -- The same notice twice in a transaction is one.
    IF named >= most THEN
        PERFORM pg_notify('kith_identity', '*');
    ELSE
        PERFORM set_config('kith.changes_named', (named + 1)::text, true);
        PERFORM pg_notify('kith_identity', CASE TG_TABLE_NAME
            WHEN 'identity_links' THEN to_jsonb(OLD) ->> 'link_id'
            ELSE to_jsonb(OLD) ->> 'root_id' END);
    END IF;
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

-- An answer that is still to be confirmed is nowhere kept, so confirming changes none.
CREATE TRIGGER notify_changed AFTER UPDATE ON identity.identity_links
    FOR EACH ROW WHEN (
        to_jsonb(OLD) - 'registration_pending' <> to_jsonb(NEW) - 'registration_pending'
        OR NEW.registration_pending AND NOT OLD.registration_pending
    ) EXECUTE FUNCTION identity.notify_changed();
CREATE TRIGGER notify_deleted AFTER DELETE ON identity.identity_links
    FOR EACH ROW EXECUTE FUNCTION identity.notify_changed();
