-- People without an account, lists of people, and changes of people who may be several.
-- ZI001: the person no longer has the etag that was given.
-- ZI002: the metadata would be larger than it may be.
-- ZI008: the id was used before, for something with another body.

-- {person, created}. `etag` is the new person's, and tells a repeated call from another.
CREATE FUNCTION identity.create_person(
    person_id uuid, body_hash text, metadata jsonb, consent jsonb, etag uuid
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    person identity.identity_registry;
BEGIN
    -- Of whom erasures keep nothing but the id (0012), that id is never anybody's again.
    PERFORM identity.check_not_erasing(ARRAY[create_person.person_id]);
    WITH created AS (
        INSERT INTO identity.identity_registry (
            person_id, origin, body_hash, metadata, consent_status, consent_version, etag
        )
        SELECT create_person.person_id, 'created', create_person.body_hash,
               create_person.metadata, create_person.consent,
               (create_person.consent <> '{}')::int, create_person.etag
        -- People and links share one space of subjects.
        WHERE NOT EXISTS (
            SELECT FROM identity.identity_links l WHERE l.link_id = create_person.person_id
        )
        ON CONFLICT DO NOTHING
        RETURNING person_id
    )
    INSERT INTO identity.consent_history (person_id, version, purpose, state, source)
    SELECT created.person_id, 1, c.key, c.value, 'creation'
    FROM created CROSS JOIN jsonb_each_text(create_person.consent) c;

    SELECT * INTO person FROM identity.identity_registry p
    WHERE p.person_id = create_person.person_id;
    IF person.body_hash IS DISTINCT FROM create_person.body_hash THEN
        RAISE EXCEPTION USING ERRCODE = 'ZI008', MESSAGE = 'idempotency conflict';
    END IF;
    RETURN jsonb_build_object(
        'person', identity.person_now(create_person.person_id),
        'created', person.etag = create_person.etag
    );
END $$;

-- Null where there is no such person.
CREATE OR REPLACE FUNCTION identity.update_person(
    person_id uuid, patch jsonb, etag text, new_etag uuid, most_bytes int
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    person identity.identity_registry;
    merged jsonb;
BEGIN
    IF NOT EXISTS (
        SELECT FROM identity.identity_registry p WHERE p.person_id = update_person.person_id
    ) THEN
        RETURN NULL;
    END IF;
    PERFORM identity.lock_for_change(ARRAY[update_person.person_id]);
    SELECT r.* INTO person FROM identity.identity_registry r
    WHERE r.person_id = (
        SELECT p.root_id FROM identity.identity_registry p
        WHERE p.person_id = update_person.person_id
    );

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
            WHERE p.person_id = person.person_id;
        END IF;
    END IF;
    RETURN identity.person_now(person.person_id);
END $$;

-- People as they are now, in order of creation. NULL leaves a filter out; which are given
-- decides which index serves, so the statement is planned for each call.
CREATE FUNCTION identity.list_persons(
    platform text, metadata jsonb, seen_from timestamptz, seen_to timestamptz,
    after_created_at timestamptz, after_person_id uuid, page_limit int
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    conditions text := '';
    page jsonb;
BEGIN
    IF list_persons.platform IS NOT NULL THEN
        conditions := conditions || $c$ AND p.person_id IN (
            SELECT a.root_id
            FROM identity.identity_links l JOIN identity.identity_registry a USING (person_id)
            WHERE l.platform = $1 AND l.ended_at IS NULL)$c$;
    END IF;
    IF list_persons.metadata IS NOT NULL THEN
        conditions := conditions || ' AND p.metadata @> $2';
    END IF;
    IF list_persons.seen_from IS NOT NULL THEN
        conditions := conditions || $c$ AND p.last_seen_at >= $3
            AND p.seen_hour >= date_trunc('hour', $3 AT TIME ZONE 'UTC')$c$;
    END IF;
    IF list_persons.seen_to IS NOT NULL THEN
        conditions := conditions || $c$ AND p.last_seen_at < $4
            AND p.seen_hour <= date_trunc('hour', $4 AT TIME ZONE 'UTC')$c$;
    END IF;
    IF list_persons.after_created_at IS NOT NULL THEN
        conditions := conditions || ' AND (p.created_at, p.person_id) > ($5, $6)';
    END IF;
    EXECUTE format($c$
        SELECT coalesce(jsonb_agg(
            to_jsonb(p) || identity.past_of(p.person_ids) ORDER BY p.created_at, p.person_id
        ), '[]')
        FROM (
            SELECT p.person_id FROM identity.identity_registry p
            WHERE p.merged_into IS NULL %s
            ORDER BY p.created_at, p.person_id
            LIMIT $7
        ) found
        CROSS JOIN LATERAL (
            SELECT * FROM identity.persons p WHERE p.person_id = found.person_id LIMIT 1
        ) p
    $c$, conditions) INTO page
    USING list_persons.platform, list_persons.metadata, list_persons.seen_from,
          list_persons.seen_to, list_persons.after_created_at, list_persons.after_person_id,
          list_persons.page_limit;
    RETURN page;
END $$;
