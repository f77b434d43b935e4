-- The steps of an erasure, the last of which erases what identity itself holds.
-- ZI027: a step was recorded before the step that it follows.

-- What identity holds of people, by kind: counted anew after they were erased, by another
-- way than what erases.
CREATE FUNCTION identity.held_of(person_ids uuid[]) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT jsonb_build_object(
        'persons', (
            SELECT count(*) FROM identity.identity_registry p WHERE p.person_id = ANY (person_ids)
        ),
        'links', (
            SELECT count(*) FROM identity.identity_links l WHERE l.person_id = ANY (person_ids)
        ),
        'consent_changes', (
            SELECT count(*) FROM identity.consent_history c WHERE c.person_id = ANY (person_ids)
        ),
        'memberships', (
            SELECT count(*) FROM identity.group_members m WHERE m.person_id = ANY (person_ids)
        ),
        'sessions', (
            SELECT count(*) FROM identity.onboarding_sessions s
            WHERE s.person_id = ANY (person_ids)
        ),
        'merges', (
            SELECT count(*) FROM identity.merges g
            WHERE g.source_person_id = ANY (person_ids) OR g.target_person_id = ANY (person_ids)
        ),
        'verifications', (
            SELECT count(*) FROM identity.link_verifications v
            WHERE v.person_id = ANY (person_ids)
        )
    )
$$;

-- Deletes it, referring rows before those they refer to; answers how much by kind. What
-- several people share is locked in key order, since they may be erased at once.
CREATE FUNCTION identity.erase_people(person_ids uuid[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    links uuid[] := ARRAY(
        SELECT l.link_id FROM identity.identity_links l
        WHERE l.person_id = ANY (erase_people.person_ids)
    );
    erased jsonb := '{}';
    deleted bigint;
BEGIN
    -- By their links, too: where linking merged people, the link is another's than who asked.
    DELETE FROM identity.link_verifications v
    WHERE v.verification_id = ANY (ARRAY(
        SELECT o.verification_id FROM identity.link_verifications o
        WHERE o.person_id = ANY (erase_people.person_ids) OR o.link_id = ANY (links)
        ORDER BY o.verification_id
        FOR UPDATE
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    erased := erased || jsonb_build_object('verifications', deleted);
    DELETE FROM identity.onboarding_sessions s WHERE s.person_id = ANY (erase_people.person_ids);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    erased := erased || jsonb_build_object('sessions', deleted);
    DELETE FROM identity.group_members m WHERE m.person_id = ANY (erase_people.person_ids);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    erased := erased || jsonb_build_object('memberships', deleted);
    DELETE FROM identity.consent_history c WHERE c.person_id = ANY (erase_people.person_ids);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    erased := erased || jsonb_build_object('consent_changes', deleted);

    PERFORM FROM identity.merges g
    WHERE g.source_person_id = ANY (erase_people.person_ids)
       OR g.target_person_id = ANY (erase_people.person_ids)
       OR g.link_id = ANY (links)
    ORDER BY g.merge_id FOR UPDATE;
    DELETE FROM identity.merges g
    WHERE g.source_person_id = ANY (erase_people.person_ids)
       OR g.target_person_id = ANY (erase_people.person_ids);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    erased := erased || jsonb_build_object('merges', deleted);
    -- Others stay one whom a link of theirs had joined.
    UPDATE identity.merges g SET link_id = NULL WHERE g.link_id = ANY (links);

    DELETE FROM identity.identity_links l WHERE l.person_id = ANY (erase_people.person_ids);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    erased := erased || jsonb_build_object('links', deleted);
    -- Aliases first: whoever is about to be refused may refer to one, and wait for the root.
    PERFORM FROM identity.identity_registry p
    WHERE p.person_id = ANY (erase_people.person_ids)
    ORDER BY p.merged_into IS NULL, p.person_id FOR UPDATE;
    -- All at once: they refer to one another.
    DELETE FROM identity.identity_registry p WHERE p.person_id = ANY (erase_people.person_ids);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN erased || jsonb_build_object('persons', deleted);
END $$;

-- Null where there is no such erasure.
CREATE FUNCTION identity.record_erasure_step(
    erasure_id uuid, stage text, erased jsonb, remaining jsonb
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    held identity.erasures;
    done bigint;
    counts_erased jsonb := record_erasure_step.erased;
    counts_remaining jsonb := record_erasure_step.remaining;
BEGIN
    SELECT * INTO held FROM identity.erasures e
    WHERE e.erasure_id = record_erasure_step.erasure_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (
        SELECT FROM identity.erasure_steps s
        WHERE s.erasure_id = held.erasure_id AND s.stage = record_erasure_step.stage
    ) THEN
        SELECT count(*) INTO done FROM identity.erasure_steps s
        WHERE s.erasure_id = held.erasure_id;
        IF record_erasure_step.stage <> (ARRAY['knowledge', 'events', 'identity'])[done + 1] THEN
            RAISE EXCEPTION USING ERRCODE = 'ZI027', MESSAGE = 'erasure out of order';
        END IF;
        IF record_erasure_step.stage = 'identity' THEN
            counts_erased := identity.erase_people(held.person_ids);
            counts_remaining := identity.held_of(held.person_ids);
            UPDATE identity.erasures e SET finished_at = clock_timestamp()
            WHERE e.erasure_id = held.erasure_id;
        END IF;
        INSERT INTO identity.erasure_steps (erasure_id, stage, erased, remaining, recorded_at)
        VALUES (
            held.erasure_id, record_erasure_step.stage, counts_erased, counts_remaining,
            clock_timestamp()
        );
    END IF;
    RETURN (
        SELECT to_jsonb(e) FROM identity.erasure_receipts e WHERE e.erasure_id = held.erasure_id
    );
END $$;

-- How many run.
CREATE FUNCTION identity.count_running_erasures() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
BEGIN
    RETURN (
        SELECT to_jsonb(count(*)) FROM identity.erasures e WHERE e.finished_at IS NULL
    );
END $$;
