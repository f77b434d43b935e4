-- Merging people who turned out to be one, and taking it back.
-- ZI004: there is no such person. DETAIL: {"person_id"}.
-- ZI005: the person would have too many subjects.
-- ZI006: there is no such merge.
-- ZI007: the person is nobody's alias.

-- How many subjects the people behind these roots have, all together.
CREATE FUNCTION identity.count_subjects(roots uuid[]) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT sum(1 + (
            SELECT count(*) FROM identity.identity_links l WHERE l.person_id = p.person_id
        ))
        FROM identity.identity_registry p WHERE p.root_id = ANY (count_subjects.roots)
    );
END $$;

CREATE FUNCTION identity.refuse_too_many_subjects(roots uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    -- What a reader of events takes at once.
    IF identity.count_subjects(refuse_too_many_subjects.roots) > 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI005', MESSAGE = 'too many subjects';
    END IF;
END $$;

-- Makes one root an alias of another. The caller holds both.
CREATE FUNCTION identity.merge_roots(
    merge_id uuid, source_root uuid, target_root uuid, reason text, link_id uuid
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    PERFORM identity.refuse_too_many_subjects(ARRAY[merge_roots.source_root, merge_roots.target_root]);
    INSERT INTO identity.merges (
        merge_id, source_person_id, target_person_id, merged_at, reason, link_id
    ) VALUES (
        merge_roots.merge_id, merge_roots.source_root, merge_roots.target_root,
        -- Under the locks, so that the merges of a person are as old as they look.
        clock_timestamp(), merge_roots.reason, merge_roots.link_id
    );
    UPDATE identity.identity_registry p SET last_seen_at = s.last_seen_at
    FROM identity.identity_registry s
    WHERE p.person_id = merge_roots.target_root AND s.person_id = merge_roots.source_root
      AND s.last_seen_at > coalesce(p.last_seen_at, '-infinity');
    UPDATE identity.identity_registry p
    SET root_id = merge_roots.target_root,
        merged_into = CASE WHEN p.person_id = merge_roots.source_root
                           THEN merge_roots.target_root ELSE p.merged_into END
    WHERE p.root_id = merge_roots.source_root;
    PERFORM identity.settle_consent(ARRAY[merge_roots.target_root]);
END $$;

-- {person, merged, merge}.
CREATE FUNCTION identity.merge_persons(
    merge_id uuid, source_person_id uuid, target_person_id uuid, reason text
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    source identity.identity_registry;
    target identity.identity_registry;
    merge identity.merges;
BEGIN
    PERFORM identity.lock_for_change(
        ARRAY[merge_persons.source_person_id, merge_persons.target_person_id]
    );
    SELECT * INTO source FROM identity.identity_registry p
    WHERE p.person_id = merge_persons.source_person_id;
    SELECT * INTO target FROM identity.identity_registry p
    WHERE p.person_id = merge_persons.target_person_id;

    -- Else this call has been here before: its answer was lost, its change was not.
    SELECT * INTO merge FROM identity.merges m WHERE m.merge_id = merge_persons.merge_id;
    IF NOT FOUND THEN
        IF source.root_id <> target.root_id THEN
            PERFORM identity.merge_roots(
                merge_persons.merge_id, source.root_id, target.root_id, merge_persons.reason, NULL
            );
            SELECT * INTO merge FROM identity.merges m WHERE m.merge_id = merge_persons.merge_id;
        ELSE
            SELECT * INTO merge FROM identity.merges m
            WHERE m.unmerged_at IS NULL AND m.source_person_id = CASE
                WHEN source.merged_into IS NULL THEN target.person_id ELSE source.person_id END;
        END IF;
    END IF;
    RETURN jsonb_build_object(
        'person', identity.person_now(merge_persons.target_person_id),
        'merged', merge.merge_id = merge_persons.merge_id,
        'merge', to_jsonb(merge)
    );
END $$;

-- {merge, unmerged, source, target}. Which merge: the one of this id, or else the one by which the
-- source is an alias. `unmerge_id` names the call.
CREATE FUNCTION identity.unmerge_persons(
    merge_id uuid, source_person_id uuid, unmerge_id uuid
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    merge identity.merges;
    source uuid := unmerge_persons.source_person_id;
    root uuid;
BEGIN
    IF unmerge_persons.merge_id IS NOT NULL THEN
        SELECT m.source_person_id INTO source FROM identity.merges m
        WHERE m.merge_id = unmerge_persons.merge_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'ZI006', MESSAGE = 'merge not found';
        END IF;
    END IF;
    PERFORM identity.lock_for_change(ARRAY[source]);

    SELECT * INTO merge FROM identity.merges m
    WHERE m.source_person_id = source
      AND CASE WHEN unmerge_persons.merge_id IS NULL
               THEN m.unmerged_at IS NULL OR m.unmerged_by = unmerge_persons.unmerge_id
               ELSE m.merge_id = unmerge_persons.merge_id END
    -- A repeated call finds its own work first.
    ORDER BY m.unmerged_at IS NULL
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI007', MESSAGE = 'not merged';
    END IF;

    IF merge.unmerged_at IS NULL THEN
        SELECT p.root_id INTO root FROM identity.identity_registry p WHERE p.person_id = source;
        WITH RECURSIVE branch AS (
            SELECT source AS person_id
            UNION ALL
            SELECT p.person_id
            FROM branch b CROSS JOIN LATERAL (
                SELECT p.person_id FROM identity.identity_registry p
                WHERE p.merged_into = b.person_id OFFSET 0
            ) p
        )
        UPDATE identity.identity_registry p
        SET root_id = source,
            merged_into = CASE WHEN p.person_id = source THEN NULL ELSE p.merged_into END
        WHERE p.person_id = ANY (ARRAY(SELECT b.person_id FROM branch b));
        UPDATE identity.merges m
        SET unmerged_at = clock_timestamp(), unmerged_by = unmerge_persons.unmerge_id
        WHERE m.merge_id = merge.merge_id
        RETURNING * INTO merge;
        PERFORM identity.settle_consent(ARRAY[source, root]);
    END IF;
    RETURN jsonb_build_object(
        'merge', to_jsonb(merge),
        'unmerged', merge.unmerged_by = unmerge_persons.unmerge_id,
        'source', identity.person_now(merge.source_person_id),
        'target', identity.person_now(merge.target_person_id)
    );
END $$;
