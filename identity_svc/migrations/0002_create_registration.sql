-- Registration: find or create the people behind accounts, and know of which of them the
-- event log has not heard yet.
--
-- A session keeps a plan for long that it made while the tables were small, and then reads
-- of whole tables look cheap. Hence in this schema seqscan is off, a set of keys is looked
-- up by LATERAL with LIMIT 1, or by ANY, and never by a join that could read the table once.
-- Functions that are not SECURITY DEFINER are parts of others, useless to a caller.

-- Decides, for people who are there, the purposes that requests name and that were never
-- decided; the first request that names a purpose decides it.
CREATE FUNCTION identity.fill_consents(requests jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    WITH asked AS MATERIALIZED (
        SELECT p.person_id, r.request -> 'consent' AS consent, r.position
        FROM jsonb_array_elements(fill_consents.requests) WITH ORDINALITY AS r (request, position)
        CROSS JOIN LATERAL (
            SELECT p.person_id, p.consent_status
            FROM identity.identity_links l JOIN identity.identity_registry p USING (person_id)
            WHERE l.platform = r.request ->> 'platform'
              AND l.platform_id = r.request ->> 'platform_id'
              AND l.ended_at IS NULL
            LIMIT 1
        ) p
        WHERE NOT p.consent_status ?& ARRAY(SELECT jsonb_object_keys(r.request -> 'consent'))
    ), people AS MATERIALIZED (
        -- The rows as they are once locked, whoever changed them since the snapshot.
        SELECT p.person_id, p.consent_status, p.consent_version
        FROM identity.identity_registry p
        WHERE p.person_id = ANY (ARRAY(SELECT a.person_id FROM asked a))
        ORDER BY p.person_id
        FOR NO KEY UPDATE
    ), decided AS (
        SELECT DISTINCT ON (a.person_id, c.purpose)
            a.person_id, c.purpose, c.state, a.position, p.consent_version
        FROM asked a
        JOIN people p USING (person_id)
        CROSS JOIN jsonb_each_text(a.consent) AS c (purpose, state)
        WHERE NOT p.consent_status ? c.purpose
        ORDER BY a.person_id, c.purpose, a.position
    ), numbered AS MATERIALIZED (
        -- As if the requests had come one after the other.
        SELECT d.person_id, d.purpose, d.state, d.consent_version
            + dense_rank() OVER (PARTITION BY d.person_id ORDER BY d.position) AS version
        FROM decided d
    ), recorded AS (
        INSERT INTO identity.consent_history (person_id, version, purpose, state, source)
        SELECT n.person_id, n.version, n.purpose, n.state, 'registration' FROM numbered n
    )
    UPDATE identity.identity_registry p
    SET consent_status = p.consent_status || n.consent,
        consent_version = n.version,
        etag = gen_random_uuid()
    FROM (
        SELECT person_id, jsonb_object_agg(purpose, state) AS consent, max(version) AS version
        FROM numbered GROUP BY person_id
    ) n
    WHERE p.person_id = n.person_id
      AND p.person_id = ANY (ARRAY(SELECT person_id FROM numbered));
END $$;

-- Requests: [{person_id, link_id, platform, platform_id, original_platform_id, metadata,
-- consent}], the ids being those to create with. Outcomes: [{"ok": {identity, created}}].
CREATE FUNCTION identity.register_persons(requests jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    answers jsonb;
    missing bigint;
BEGIN
    LOOP
        WITH asked AS MATERIALIZED (
            SELECT DISTINCT ON (r.platform, r.platform_id) r.*
            FROM (
                SELECT request ->> 'platform' COLLATE "C" AS platform,
                       request ->> 'platform_id' COLLATE "C" AS platform_id,
                       (request ->> 'person_id')::uuid AS person_id,
                       (request ->> 'link_id')::uuid AS link_id,
                       request, position
                FROM jsonb_array_elements(register_persons.requests)
                    WITH ORDINALITY AS _ (request, position)
            ) r
            ORDER BY r.platform, r.platform_id, r.position
        ), linked AS (
            -- In key order, so that callers who want the same keys queue up. Whoever comes
            -- second waits here for the first, and finds the link below.
            INSERT INTO identity.identity_links (
                link_id, person_id, platform, platform_id, original_platform_id,
                registration_pending
            )
            SELECT link_id, person_id, platform, platform_id,
                   request ->> 'original_platform_id', true
            FROM asked ORDER BY platform, platform_id
            ON CONFLICT DO NOTHING
            RETURNING link_id
        ), made AS MATERIALIZED (
            SELECT a.person_id, a.request -> 'consent' AS consent, a.request -> 'metadata' AS metadata
            FROM linked JOIN asked a USING (link_id)
        ), created AS (
            INSERT INTO identity.identity_registry (
                person_id, metadata, consent_status, consent_version
            )
            SELECT person_id, metadata, consent, (consent <> '{}')::int FROM made
        )
        INSERT INTO identity.consent_history (person_id, version, purpose, state, source)
        SELECT person_id, 1, c.key, c.value, 'registration'
        FROM made CROSS JOIN jsonb_each_text(consent) c;

        IF jsonb_path_exists(register_persons.requests, '$[*].consent.*') THEN
            PERFORM identity.fill_consents(register_persons.requests);
        END IF;

        SELECT jsonb_agg(
                   jsonb_build_object('ok', jsonb_build_object(
                       'identity', i.identity,
                       'created', i.person_id = (r.request ->> 'person_id')::uuid
                   )) ORDER BY r.position
               ),
               count(*) FILTER (WHERE i.link_id IS NULL)
        INTO answers, missing
        FROM jsonb_array_elements(register_persons.requests)
            WITH ORDINALITY AS r (request, position)
        LEFT JOIN LATERAL (
            SELECT * FROM identity.identities i
            WHERE i.platform = r.request ->> 'platform'
              AND i.platform_id = r.request ->> 'platform_id'
              AND i.ended_at IS NULL
            UNION ALL
            -- A repeated call whose link has ended since is answered as it was.
            SELECT * FROM identity.identities i
            WHERE i.link_id = (r.request ->> 'link_id')::uuid AND i.ended_at IS NOT NULL
            LIMIT 1
        ) i ON true;
        -- A link that stood in the way may have ended before it was read.
        EXIT WHEN missing = 0;
    END LOOP;
    RETURN answers;
END $$;

-- How many were pending until now.
CREATE FUNCTION identity.confirm_registrations(link_ids text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    confirmed bigint;
BEGIN
    -- IS NOT FALSE, because = true would invite a scan of all that is pending.
    WITH pending AS MATERIALIZED (
        SELECT l.link_id FROM identity.identity_links l
        WHERE l.link_id = ANY (confirm_registrations.link_ids::uuid[])
          AND l.registration_pending IS NOT FALSE
        ORDER BY l.link_id
        FOR NO KEY UPDATE
    )
    UPDATE identity.identity_links l SET registration_pending = false
    WHERE l.link_id = ANY (ARRAY(SELECT p.link_id FROM pending p));
    GET DIAGNOSTICS confirmed = ROW_COUNT;
    RETURN to_jsonb(confirmed);
END $$;

CREATE FUNCTION identity.list_pending_registrations(
    created_before timestamptz, after_created_at timestamptz, after_link_id uuid, page_limit int
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(to_jsonb(l) ORDER BY l.created_at, l.link_id), '[]')
        FROM (
            SELECT * FROM identity.identity_links l
            WHERE l.registration_pending
              AND l.created_at < coalesce(list_pending_registrations.created_before, 'infinity')
              AND (l.created_at, l.link_id) > (
                  coalesce(list_pending_registrations.after_created_at, '-infinity'),
                  coalesce(list_pending_registrations.after_link_id,
                           '00000000-0000-0000-0000-000000000000')
              )
            ORDER BY l.created_at, l.link_id
            LIMIT list_pending_registrations.page_limit
        ) l
    );
END $$;
