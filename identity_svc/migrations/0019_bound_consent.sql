-- How many purposes a person may have decided: what they allow is in every answer about them,
-- which goes out together with those about others.
-- ZI009: they would be too many. DETAIL: {most}.

CREATE FUNCTION identity.refuse_too_many_purposes() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
DECLARE
    most CONSTANT int := 256;
    before bigint := (SELECT count(*) FROM jsonb_object_keys(OLD.consent_status));
    after bigint := (SELECT count(*) FROM jsonb_object_keys(NEW.consent_status));
BEGIN
    -- Whoever has more from before may still change their mind.
    IF after > greatest(most, before) THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI009', MESSAGE = 'too many purposes',
            DETAIL = jsonb_build_object('most', most);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refuse_too_many_purposes AFTER UPDATE OF consent_status ON identity.identity_registry
    FOR EACH ROW WHEN (OLD.consent_status <> NEW.consent_status)
    EXECUTE FUNCTION identity.refuse_too_many_purposes();
