-- Erasures: which people are erased, under which ids, and how far it has come. These records
-- hold ids and counts, and stay when everything else about the people is gone.
-- ZI004: there is no such person. DETAIL: {person_id}.
-- ZI020: a person is being erased, or was. DETAIL: {person_id, erasure_id}.
--
-- Rows are locked in one order: what a call is about (a session, a group, …), then links, then
-- people in the order of their ids. Of people who are one, the row of who they are now (their
-- root) stands for all: whoever changes anything about them holds it.

CREATE TABLE identity.erasures (
    erasure_id  uuid PRIMARY KEY,
    person_ids  uuid[] NOT NULL CHECK (person_ids <> '{}'),
    subject_ids uuid[] NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX erasures_listed ON identity.erasures (started_at, erasure_id);
CREATE INDEX erasures_running
    ON identity.erasures (started_at, erasure_id) WHERE finished_at IS NULL;

CREATE TABLE identity.erasure_steps (
    erasure_id  uuid NOT NULL REFERENCES identity.erasures,
    stage       text NOT NULL CHECK (stage IN ('knowledge', 'events', 'identity')),
    erased      jsonb NOT NULL CHECK (jsonb_typeof(erased) = 'object'),
    remaining   jsonb NOT NULL CHECK (jsonb_typeof(remaining) = 'object'),
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (erasure_id, stage)
);

-- Nobody is erased twice, and no id of somebody erased is used again.
CREATE TABLE identity.erased_persons (
    person_id  uuid PRIMARY KEY,
    erasure_id uuid NOT NULL REFERENCES identity.erasures
);

ALTER TABLE identity.erasures ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.erasure_steps ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity.erased_persons ENABLE ROW LEVEL SECURITY;

CREATE VIEW identity.erasure_receipts AS
SELECT
    e.*,
    (
        SELECT coalesce(jsonb_agg(to_jsonb(s) - 'erasure_id' ORDER BY s.recorded_at), '[]')
        FROM identity.erasure_steps s WHERE s.erasure_id = e.erasure_id
    ) AS steps
FROM identity.erasures e;

-- To be called by whatever changes people, once it holds their roots. Volatile, so that it
-- sees what was committed while its caller waited for them.
CREATE FUNCTION identity.check_not_erasing(person_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    erased identity.erased_persons;
BEGIN
    SELECT * INTO erased FROM identity.erased_persons e
    WHERE e.person_id = ANY (check_not_erasing.person_ids)
    ORDER BY e.person_id
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'ZI020', MESSAGE = 'person is being erased', DETAIL = to_jsonb(erased);
    END IF;
END $$;

-- Also for a call that is repeated when the person it made is gone. After the row is there:
-- it may have waited for the erasure that deletes the one before.
CREATE FUNCTION identity.refuse_erased() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
BEGIN
    PERFORM identity.check_not_erasing(ARRAY[NEW.person_id]);
    RETURN NULL;
END $$;
CREATE TRIGGER refuse_erased AFTER INSERT ON identity.identity_registry
    FOR EACH ROW EXECUTE FUNCTION identity.refuse_erased();

CREATE FUNCTION identity.root_of(person_id uuid) RETURNS uuid
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT p.root_id FROM identity.identity_registry p WHERE p.person_id = root_of.person_id
$$;

-- Every id of the person as they are now, in key order; NULL for nobody.
CREATE FUNCTION identity.ids_of_person(person_id uuid) RETURNS uuid[]
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT array_agg(p.person_id ORDER BY p.person_id)
    FROM identity.identity_registry p
    WHERE p.root_id = identity.root_of(ids_of_person.person_id)
$$;

-- As before, and nothing about who is being erased changes any more.
CREATE OR REPLACE FUNCTION identity.lock_for_change(person_ids uuid[]) RETURNS void
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
    PERFORM identity.check_not_erasing(lock_for_change.person_ids);
END $$;

-- The links of people that an erasure ends.
CREATE FUNCTION identity.links_to_end(person_ids uuid[]) RETURNS uuid[]
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT array_agg(l.link_id ORDER BY l.link_id) FROM identity.identity_links l
    WHERE l.person_id = ANY (links_to_end.person_ids)
      AND (l.ended_at IS NULL OR l.registration_pending)
$$;

-- Locks the person with the links that are to end, and answers every id of the person; NULL
-- for nobody. FOR UPDATE, because it also waits for whoever refers to the person.
CREATE FUNCTION identity.hold_for_erasure(person_id uuid) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    root uuid;
    people uuid[];
    links uuid[];
BEGIN
    LOOP
        BEGIN
            root := identity.root_of(hold_for_erasure.person_id);
            people := identity.ids_of_person(hold_for_erasure.person_id);
            links := identity.links_to_end(people);
            PERFORM FROM identity.identity_links l
            WHERE l.link_id = ANY (links) ORDER BY l.link_id FOR NO KEY UPDATE;
            PERFORM FROM identity.identity_registry p
            WHERE p.person_id = root FOR UPDATE;
            -- The same people may have another root by now.
            IF root IS NOT DISTINCT FROM identity.root_of(hold_for_erasure.person_id)
                AND people IS NOT DISTINCT FROM identity.ids_of_person(hold_for_erasure.person_id)
                AND links IS NOT DISTINCT FROM identity.links_to_end(people)
            THEN
                RETURN people;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'ZI000', MESSAGE = 'changed meanwhile';
        EXCEPTION WHEN SQLSTATE 'ZI000' THEN
            NULL;  -- What was locked in this block is free again.
        END;
    END LOOP;
END $$;

-- {erasure, started}; null where there is no such person, and never was one that was erased.
CREATE FUNCTION identity.start_erasure(erasure_id uuid, person_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    people uuid[] := identity.hold_for_erasure(start_erasure.person_id);
    found uuid;
BEGIN
    SELECT e.erasure_id INTO found FROM identity.erased_persons e
    WHERE e.person_id = start_erasure.person_id;
    IF found IS NULL THEN
        IF people IS NULL THEN
            RETURN NULL;
        END IF;
        INSERT INTO identity.erasures (erasure_id, person_ids, subject_ids, started_at)
        SELECT start_erasure.erasure_id, people, people || coalesce(
                   array_agg(l.link_id ORDER BY l.created_at, l.link_id), '{}'
               ), clock_timestamp()
        FROM identity.identity_links l WHERE l.person_id = ANY (people);
        INSERT INTO identity.erased_persons (person_id, erasure_id)
        SELECT unnest(people), start_erasure.erasure_id;
        -- Nothing is left to be logged about them either.
        UPDATE identity.identity_links l
        SET ended_at = coalesce(l.ended_at, clock_timestamp()), registration_pending = false
        WHERE l.link_id = ANY (identity.links_to_end(people));
        found := start_erasure.erasure_id;
    END IF;
    RETURN (
        SELECT jsonb_build_object(
            'erasure', to_jsonb(e), 'started', e.erasure_id = start_erasure.erasure_id
        )
        FROM identity.erasure_receipts e WHERE e.erasure_id = found
    );
END $$;

-- By either id, the other being NULL; null where there is none.
CREATE FUNCTION identity.get_erasure(erasure_id uuid, person_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT to_jsonb(e) FROM identity.erasure_receipts e
        WHERE e.erasure_id = coalesce(get_erasure.erasure_id, (
            SELECT p.erasure_id FROM identity.erased_persons p
            WHERE p.person_id = get_erasure.person_id
        ))
    );
END $$;

-- Running ones, or finished ones, or all where `running` is NULL; oldest first.
CREATE FUNCTION identity.list_erasures(
    running boolean, after_started_at timestamptz, after_erasure_id uuid, page_limit int
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    -- Two queries, so that what is running is found without reading what is finished.
    IF list_erasures.running THEN
        RETURN (
            SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.started_at, e.erasure_id), '[]')
            FROM (
                SELECT * FROM identity.erasure_receipts e
                WHERE e.finished_at IS NULL
                  AND (e.started_at, e.erasure_id) > (
                      list_erasures.after_started_at, list_erasures.after_erasure_id)
                ORDER BY e.started_at, e.erasure_id
                LIMIT list_erasures.page_limit
            ) e
        );
    END IF;
    RETURN (
        SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.started_at, e.erasure_id), '[]')
        FROM (
            SELECT * FROM identity.erasure_receipts e
            WHERE (list_erasures.running IS NULL OR e.finished_at IS NOT NULL)
              AND (e.started_at, e.erasure_id) > (
                  list_erasures.after_started_at, list_erasures.after_erasure_id)
            ORDER BY e.started_at, e.erasure_id
            LIMIT list_erasures.page_limit
        ) e
    );
END $$;
