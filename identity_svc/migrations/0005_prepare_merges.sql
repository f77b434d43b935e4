-- Merges: somebody who turned out to be somebody else becomes an alias, until it is undone.
-- The rows of both stay what they were; only these two columns say who they are now.

ALTER TABLE identity.identity_registry
    -- Whose alias the person is; NULL for who they are themselves.
    ADD COLUMN merged_into uuid REFERENCES identity.identity_registry,
    -- Where the chain of aliases ends: the person as they are now.
    ADD COLUMN root_id uuid REFERENCES identity.identity_registry;

UPDATE identity.identity_registry SET root_id = person_id;

-- Whoever is created is who they are.
CREATE FUNCTION identity.be_oneself() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    NEW.root_id := coalesce(NEW.root_id, NEW.person_id);
    RETURN NEW;
END $$;
CREATE TRIGGER be_oneself BEFORE INSERT ON identity.identity_registry
    FOR EACH ROW EXECUTE FUNCTION identity.be_oneself();

ALTER TABLE identity.identity_registry
    ALTER COLUMN root_id SET NOT NULL,
    ADD CONSTRAINT identity_registry_alias CHECK ((merged_into IS NULL) = (root_id = person_id));
CREATE INDEX identity_registry_root ON identity.identity_registry (root_id);
CREATE INDEX identity_registry_merged_into
    ON identity.identity_registry (merged_into) WHERE merged_into IS NOT NULL;
