-- Changing a person's metadata, and giving a person one more account.
-- ZI001: the person no longer has the etag that was given.
-- ZI002: the metadata would be larger than it may be.
-- ZI003: somebody else holds the account.

-- RFC 7396.
CREATE FUNCTION identity.merge_patch(target jsonb, patch jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS $$
BEGIN
    IF jsonb_typeof(patch) <> 'object' THEN
        RETURN patch;
    END IF;
    RETURN (
        SELECT coalesce(jsonb_object_agg(
            key, CASE WHEN p.value IS NULL THEN t.value
                      ELSE identity.merge_patch(t.value, p.value) END
        ), '{}')
        FROM jsonb_each(CASE WHEN jsonb_typeof(target) = 'object' THEN target ELSE '{}' END) t
        FULL JOIN jsonb_each(patch) p USING (key)
        WHERE p.value IS NULL OR jsonb_typeof(p.value) <> 'null'
    );
END $$;

-- The bytes of a value as JSON without spaces between its parts, as clients count it.
CREATE FUNCTION identity.compact_bytes(value jsonb) RETURNS int
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT octet_length(value::text)
         - regexp_count(regexp_replace(value::text, '"(\\.|[^"\\])*"', '', 'g'), ' ')
$$;

-- Null where there is no such person.
CREATE FUNCTION identity.update_person(
    person_id uuid, patch jsonb, etag text, new_etag uuid, most_bytes int
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    person identity.identity_registry;
    merged jsonb;
BEGIN
    SELECT * INTO person FROM identity.identity_registry p
    WHERE p.person_id = update_person.person_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    -- Else this call has been here before: its answer was lost, its change was not.
    IF person.etag <> update_person.new_etag THEN
        IF person.etag::text <> update_person.etag THEN
            RAISE EXCEPTION USING ERRCODE = 'ZI001', MESSAGE = 'etag mismatch';
        END IF;
        merged := identity.merge_patch(person.metadata, update_person.patch);
        IF merged <> person.metadata THEN
            IF octet_length(merged::text) > update_person.most_bytes
                AND identity.compact_bytes(merged) > update_person.most_bytes
            THEN
                RAISE EXCEPTION USING ERRCODE = 'ZI002', MESSAGE = 'metadata too large';
            END IF;
            UPDATE identity.identity_registry p
            SET metadata = merged, etag = update_person.new_etag
            WHERE p.person_id = update_person.person_id;
        END IF;
    END IF;
    RETURN (
        SELECT to_jsonb(p) FROM identity.persons p WHERE p.person_id = update_person.person_id
    );
END $$;

-- {link, created}; null where there is no such person.
CREATE FUNCTION identity.link_identity(
    link_id uuid, person_id uuid, platform text, platform_id text, original_platform_id text,
    verified boolean
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    link identity.identity_links;
BEGIN
    PERFORM FROM identity.identity_registry p
    WHERE p.person_id = link_identity.person_id
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    LOOP
        INSERT INTO identity.identity_links (
            link_id, person_id, platform, platform_id, original_platform_id, verified
        ) VALUES (
            link_identity.link_id, link_identity.person_id, link_identity.platform,
            link_identity.platform_id, link_identity.original_platform_id, link_identity.verified
        )
        ON CONFLICT DO NOTHING;

        -- Its own link first: a repeated call is answered as it was.
        SELECT * INTO link FROM identity.identity_links l
        WHERE l.link_id = link_identity.link_id
           OR (l.platform = link_identity.platform AND l.platform_id = link_identity.platform_id
               AND l.ended_at IS NULL)
        ORDER BY l.link_id <> link_identity.link_id
        LIMIT 1;
        -- A link that stood in the way may have ended before it was read.
        EXIT WHEN FOUND;
    END LOOP;

    IF link.person_id <> link_identity.person_id THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI003', MESSAGE = 'link taken';
    END IF;
    IF link_identity.verified AND NOT link.verified THEN
        UPDATE identity.identity_links l SET verified = true
        WHERE l.link_id = link.link_id
        RETURNING * INTO link;
    END IF;
    RETURN jsonb_build_object(
        'link', to_jsonb(link), 'created', link.link_id = link_identity.link_id
    );
END $$;
