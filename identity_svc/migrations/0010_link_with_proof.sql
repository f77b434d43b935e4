-- Links: one more account for a person, with proof also one that somebody else holds, and
-- the end of a tenure.
-- ZI003: somebody else holds the account.
-- ZI005: the person would have too many subjects.

-- {link, created, merge}; null where there is no such person. `merge_id` names the merge
-- that this may make.
DROP FUNCTION identity.link_identity(uuid, uuid, text, text, text, boolean);
CREATE FUNCTION identity.link_identity(
    link_id uuid, person_id uuid, platform text, platform_id text, original_platform_id text,
    verified boolean, verification_method text DEFAULT '',
    merge_id uuid DEFAULT gen_random_uuid()
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    made bigint;
    link identity.identity_links;
BEGIN
    IF NOT EXISTS (
        SELECT FROM identity.identity_registry p WHERE p.person_id = link_identity.person_id
    ) THEN
        RETURN NULL;
    END IF;
    -- Else the person may be gone by the time when a link refers to them.
    PERFORM identity.check_not_erasing(ARRAY[link_identity.person_id]);

    LOOP
        INSERT INTO identity.identity_links (
            link_id, person_id, platform, platform_id, original_platform_id,
            verified, verified_at, verification_method
        ) VALUES (
            link_identity.link_id, link_identity.person_id, link_identity.platform,
            link_identity.platform_id, link_identity.original_platform_id, link_identity.verified,
            CASE WHEN link_identity.verified THEN clock_timestamp() END,
            CASE WHEN link_identity.verified THEN link_identity.verification_method ELSE '' END
        )
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS made = ROW_COUNT;

        -- Its own link first: a repeated call is answered as it was.
        SELECT * INTO link FROM identity.identity_links l
        WHERE l.link_id = link_identity.link_id
           OR (l.platform = link_identity.platform AND l.platform_id = link_identity.platform_id
               AND l.ended_at IS NULL)
        ORDER BY l.link_id <> link_identity.link_id
        LIMIT 1
        FOR NO KEY UPDATE;
        -- A link that stood in the way may have ended before it was read.
        EXIT WHEN FOUND;
    END LOOP;

    IF made = 1 THEN
        PERFORM identity.lock_for_change(ARRAY[link_identity.person_id]);
        PERFORM identity.refuse_too_many_subjects(ARRAY(
            SELECT p.root_id FROM identity.identity_registry p
            WHERE p.person_id = link_identity.person_id
        ));
    ELSIF link.link_id <> link_identity.link_id THEN
        PERFORM identity.claim_link(
            link, link_identity.person_id, link_identity.verified, link_identity.merge_id
        );
        IF link_identity.verified AND NOT link.verified THEN
            UPDATE identity.identity_links l
            SET verified = true, verified_at = clock_timestamp(),
                verification_method = link_identity.verification_method
            WHERE l.link_id = link.link_id
            RETURNING * INTO link;
        END IF;
    END IF;
    RETURN jsonb_build_object(
        'link', to_jsonb(link),
        'created', link.link_id = link_identity.link_id,
        'merge', (
            SELECT to_jsonb(m) FROM identity.merges m WHERE m.merge_id = link_identity.merge_id
        )
    );
END $$;

-- Returns if the link is the person's, by whichever of their ids, and if proof can make it
-- theirs: then its holder becomes their alias. The caller has locked the link.
CREATE FUNCTION identity.claim_link(
    link identity.identity_links, person_id uuid, verified boolean, merge_id uuid
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    claimant identity.identity_registry;
    holder identity.identity_registry;
BEGIN
    IF claim_link.verified THEN
        PERFORM identity.lock_for_change(
            ARRAY[claim_link.person_id, (claim_link.link).person_id]
        );
    END IF;
    SELECT * INTO claimant FROM identity.identity_registry p
    WHERE p.person_id = claim_link.person_id;
    SELECT * INTO holder FROM identity.identity_registry r
    WHERE r.person_id = (
        SELECT p.root_id FROM identity.identity_registry p
        WHERE p.person_id = (claim_link.link).person_id
    );
    -- The latter: this call has been here before, and its merge was undone since.
    IF holder.person_id = claimant.root_id
        OR EXISTS (SELECT FROM identity.merges m WHERE m.merge_id = claim_link.merge_id)
    THEN
        RETURN;
    END IF;
    -- Whom the app created is somebody it knows: only the app may say that they are another.
    IF NOT claim_link.verified OR holder.origin <> 'registered' THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI003', MESSAGE = 'link taken';
    END IF;
    PERFORM identity.merge_roots(
        claim_link.merge_id, holder.person_id, claimant.root_id, 'link', (claim_link.link).link_id
    );
END $$;

-- The link, ended; null where the person has none of this id. Raises ZI004.
CREATE FUNCTION identity.unlink_identity(person_id uuid, link_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    link identity.identity_links;
BEGIN
    IF NOT EXISTS (
        SELECT FROM identity.identity_registry p WHERE p.person_id = unlink_identity.person_id
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI004', MESSAGE = 'person not found',
            DETAIL = jsonb_build_object('person_id', unlink_identity.person_id);
    END IF;
    SELECT * INTO link FROM identity.identity_links l
    WHERE l.link_id = unlink_identity.link_id
    FOR NO KEY UPDATE;
    IF NOT FOUND OR NOT EXISTS (
        SELECT FROM identity.identity_registry p
        WHERE p.person_id = unlink_identity.person_id AND p.root_id = (
            SELECT h.root_id FROM identity.identity_registry h WHERE h.person_id = link.person_id
        )
    ) THEN
        RETURN NULL;
    END IF;
    IF link.ended_at IS NULL THEN
        UPDATE identity.identity_links l SET ended_at = clock_timestamp()
        WHERE l.link_id = link.link_id
        RETURNING * INTO link;
    END IF;
    RETURN to_jsonb(link);
END $$;
