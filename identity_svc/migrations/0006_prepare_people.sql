-- What people, links and consent remember besides, the merges, and how all of it is locked.
-- ZI004: there is no such person. DETAIL: {"person_id"}.

ALTER TABLE identity.identity_registry
    -- How they came about: by registering an account, or by CreatePerson.
    ADD COLUMN origin text NOT NULL DEFAULT 'registered' CHECK (origin IN ('registered', 'created')),
    -- Of the body that CreatePerson was called with.
    ADD COLUMN body_hash text,
    -- What is answered while several people are one: the strictest of what they decided, the
    -- same in each of their rows. NULL for somebody who is alone: consent_status it is.
    ADD COLUMN consent_merged jsonb,
    -- What ListPersons looks up. An index on last_seen_at itself would make each touch a
    -- write to every index of the row; this changes once an hour.
    ADD COLUMN seen_hour timestamp GENERATED ALWAYS AS
        (date_trunc('hour', last_seen_at AT TIME ZONE 'UTC')) STORED;

CREATE INDEX identity_registry_created
    ON identity.identity_registry (created_at, person_id) WHERE merged_into IS NULL;
CREATE INDEX identity_registry_metadata
    ON identity.identity_registry USING gin (metadata jsonb_path_ops);
CREATE INDEX identity_registry_seen
    ON identity.identity_registry (seen_hour) WHERE seen_hour IS NOT NULL;

ALTER TABLE identity.identity_links
    ADD COLUMN verified_at timestamptz,
    ADD COLUMN verification_method text NOT NULL DEFAULT '';

CREATE TABLE identity.merges (
    merge_id         uuid PRIMARY KEY,
    source_person_id uuid NOT NULL REFERENCES identity.identity_registry,
    target_person_id uuid NOT NULL REFERENCES identity.identity_registry,
    merged_at        timestamptz NOT NULL,
    unmerged_at      timestamptz,
    -- The call that undid it, so that a repeated call recognises its own work.
    unmerged_by      uuid,
    reason           text NOT NULL,
    -- The link whose proof made the two one; NULL where somebody said so.
    link_id          uuid REFERENCES identity.identity_links,
    CHECK (source_person_id <> target_person_id)
);
-- The one merge by which an alias is one.
CREATE UNIQUE INDEX merges_lasting
    ON identity.merges (source_person_id) WHERE unmerged_at IS NULL;
CREATE INDEX merges_source ON identity.merges (source_person_id, merged_at, merge_id);
CREATE INDEX merges_target ON identity.merges (target_person_id, merged_at, merge_id);
CREATE INDEX merges_link ON identity.merges (link_id) WHERE link_id IS NOT NULL;
ALTER TABLE identity.merges ENABLE ROW LEVEL SECURITY;

CREATE INDEX consent_history_newest
    ON identity.consent_history (person_id, changed_at, version, purpose);

-- Locks, until the transaction ends, the people as they are now behind these ids. Whoever
-- changes who is whose alias, or the consent of people who are one, holds the root of each
-- tree that it touches; only the holder of a root writes the rows below it. Accounts (rows
-- of identity_links) are taken before roots, and roots in key order, so nobody waits in a
-- circle. Hence one by one: who was an alias by the time of the lock is let go at once, for
-- the holder of their root may be about to write them.
CREATE FUNCTION identity.lock_roots(person_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    roots uuid[];
    root uuid;
BEGIN
    LOOP
        BEGIN
            roots := ARRAY(
                SELECT DISTINCT p.root_id FROM identity.identity_registry p
                WHERE p.person_id = ANY (lock_roots.person_ids)
                ORDER BY p.root_id
            );
            FOREACH root IN ARRAY roots LOOP
                PERFORM FROM identity.identity_registry p
                WHERE p.person_id = root AND p.merged_into IS NULL
                FOR NO KEY UPDATE;
                IF NOT FOUND THEN
                    RAISE EXCEPTION USING ERRCODE = 'ZI000', MESSAGE = 'merged meanwhile';
                END IF;
            END LOOP;
            IF EXISTS (
                SELECT FROM identity.identity_registry p
                WHERE p.person_id = ANY (lock_roots.person_ids) AND p.root_id <> ALL (roots)
            ) THEN
                RAISE EXCEPTION USING ERRCODE = 'ZI000', MESSAGE = 'unmerged meanwhile';
            END IF;
            RETURN;
        EXCEPTION WHEN SQLSTATE 'ZI000' THEN
            NULL;  -- What was locked in this block is free again.
        END;
    END LOOP;
END $$;

-- lock_roots for whoever is about to change something about these people, all of whom must
-- be there. A state of a person that forbids every change belongs here.
CREATE FUNCTION identity.lock_for_change(person_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    missing uuid;
BEGIN
    SELECT asked.person_id INTO missing
    FROM unnest(lock_for_change.person_ids) WITH ORDINALITY AS asked (person_id, position)
    WHERE NOT EXISTS (
        SELECT FROM identity.identity_registry p WHERE p.person_id = asked.person_id OFFSET 0
    )
    ORDER BY asked.position
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI004', MESSAGE = 'person not found',
            DETAIL = jsonb_build_object('person_id', missing);
    END IF;
    PERFORM identity.lock_roots(lock_for_change.person_ids);
END $$;
