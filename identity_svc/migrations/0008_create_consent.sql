-- Consent: decisions are each row's own; what is answered for people who are one is the
-- strictest of theirs, kept in every row together with one version.
--
-- The version of a person never falls, and grows whenever what they are answered changes.

-- What the decisions of several people allow together; NULL for one alone.
CREATE FUNCTION identity.strictest(decisions jsonb[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF cardinality(decisions) = 1 THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT coalesce(jsonb_object_agg(purpose, CASE
            WHEN denied > 0 THEN 'denied'
            WHEN granted = cardinality(decisions) THEN 'granted'
            ELSE 'unset' END), '{}')
        FROM (
            SELECT c.key AS purpose, count(*) FILTER (WHERE c.value = 'denied') AS denied,
                   count(*) FILTER (WHERE c.value = 'granted') AS granted
            FROM unnest(decisions) AS d (consent) CROSS JOIN jsonb_each_text(d.consent) c
            GROUP BY c.key
        ) purposes
    );
END $$;

-- Consent without what is unset: equal if callers are answered the same.
CREATE FUNCTION identity.without_unset(consent jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT coalesce(jsonb_object_agg(key, value) FILTER (WHERE value <> 'unset'), '{}')
    FROM jsonb_each_text(consent)
$$;

-- After a change of who belongs to whom: what each tree is answered now. The caller holds
-- the roots.
CREATE FUNCTION identity.settle_consent(roots uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    WITH tree AS MATERIALIZED (
        SELECT p.root_id, p.consent_status, p.consent_version,
               identity.without_unset(coalesce(p.consent_merged, p.consent_status)) AS before
        FROM identity.identity_registry p WHERE p.root_id = ANY (settle_consent.roots)
    ), joined AS MATERIALIZED (
        SELECT root_id, identity.strictest(array_agg(consent_status)) AS merged,
               (array_agg(consent_status))[1] AS alone, max(consent_version) AS version
        FROM tree GROUP BY root_id
    ), settled AS MATERIALIZED (
        SELECT j.root_id, j.merged, j.version + bool_or(
                   t.before <> identity.without_unset(coalesce(j.merged, j.alone))
               )::int AS version
        FROM joined j JOIN tree t USING (root_id)
        GROUP BY j.root_id, j.merged, j.version
    )
    UPDATE identity.identity_registry p
    SET consent_merged = s.merged, consent_version = s.version, etag = gen_random_uuid()
    FROM settled s
    WHERE p.root_id = s.root_id AND p.root_id = ANY (settle_consent.roots);
END $$;

-- Decisions: [{person_id, root_id, purpose, state, version}], each for one row and making
-- that version. The caller holds the roots.
CREATE FUNCTION identity.record_decisions(decisions jsonb, source text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    -- Under the lock, so that times and versions of a person grow together.
    decided_at timestamptz := clock_timestamp();
BEGIN
    WITH decided AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(record_decisions.decisions)
            AS d (person_id uuid, root_id uuid, purpose text, state text, version bigint)
    ), recorded AS (
        INSERT INTO identity.consent_history (
            person_id, version, purpose, state, source, changed_at
        )
        SELECT person_id, version, purpose, state, record_decisions.source, decided_at
        FROM decided
    ), tree AS MATERIALIZED (
        SELECT t.person_id, t.root_id, r.version,
               t.consent_status || coalesce(d.states, '{}') AS consent_status
        FROM (SELECT root_id, max(version) AS version FROM decided GROUP BY root_id) r
        CROSS JOIN LATERAL (
            SELECT * FROM identity.identity_registry t WHERE t.root_id = r.root_id OFFSET 0
        ) t
        LEFT JOIN (
            SELECT person_id, jsonb_object_agg(purpose, state) AS states
            FROM decided GROUP BY person_id
        ) d USING (person_id)
    ), joined AS (
        SELECT root_id, identity.strictest(array_agg(consent_status)) AS merged
        FROM tree GROUP BY root_id
    )
    UPDATE identity.identity_registry p
    SET consent_status = t.consent_status, consent_merged = j.merged,
        consent_version = t.version, etag = gen_random_uuid()
    FROM tree t JOIN joined j USING (root_id)
    WHERE p.person_id = t.person_id
      AND p.person_id = ANY (ARRAY(SELECT person_id FROM tree));
END $$;

-- Requests: [{link_id, consent}]. Decides, for the people behind these links, the purposes
-- that were never decided, in each row of those who are one; the first request that names a
-- purpose decides it. Whether that changed anything.
DROP FUNCTION identity.fill_consents(jsonb);
CREATE FUNCTION identity.fill_consents(requests jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    people uuid[];
    decisions jsonb;
BEGIN
    SELECT array_agg(p.person_id) INTO people
    FROM jsonb_to_recordset(fill_consents.requests) AS r (link_id uuid, consent jsonb)
    CROSS JOIN LATERAL (
        SELECT p.person_id, p.root_id
        FROM identity.identity_links l JOIN identity.identity_registry p USING (person_id)
        WHERE l.link_id = r.link_id
        LIMIT 1
    ) p
    WHERE r.consent <> '{}' AND EXISTS (
        SELECT FROM identity.identity_registry t
        WHERE t.root_id = p.root_id
          AND NOT t.consent_status ?& ARRAY(SELECT jsonb_object_keys(r.consent))
        OFFSET 0
    );
    IF people IS NULL THEN
        RETURN false;
    END IF;
    PERFORM identity.lock_roots(people);
    -- An erasure (0012) that began meanwhile has ended their links: registered again, they are
    -- somebody new.
    IF EXISTS (SELECT FROM identity.erased_persons e WHERE e.person_id = ANY (people)) THEN
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'erased meanwhile';
    END IF;

    -- The rows as they are now that they are locked.
    WITH asked AS MATERIALIZED (
        SELECT p.root_id, r.consent, r.position
        FROM ROWS FROM (
            jsonb_to_recordset(fill_consents.requests) AS (link_id uuid, consent jsonb)
        ) WITH ORDINALITY AS r (link_id, consent, position)
        CROSS JOIN LATERAL (
            SELECT p.person_id, p.root_id
            FROM identity.identity_links l JOIN identity.identity_registry p USING (person_id)
            WHERE l.link_id = r.link_id
            LIMIT 1
        ) p
        WHERE p.person_id = ANY (people)
    ), decided AS (
        SELECT DISTINCT ON (t.person_id, c.purpose)
            t.person_id, t.root_id, t.consent_version, c.purpose, c.state, a.position
        FROM asked a
        CROSS JOIN LATERAL (
            SELECT * FROM identity.identity_registry t WHERE t.root_id = a.root_id OFFSET 0
        ) t
        CROSS JOIN jsonb_each_text(a.consent) AS c (purpose, state)
        WHERE NOT t.consent_status ? c.purpose
        ORDER BY t.person_id, c.purpose, a.position
    )
    SELECT jsonb_agg(jsonb_build_object(
        'person_id', n.person_id, 'root_id', n.root_id, 'purpose', n.purpose,
        'state', n.state, 'version', n.version
    )) INTO decisions
    FROM (
        -- As if the requests had come one after the other.
        SELECT d.*, d.consent_version
            + dense_rank() OVER (PARTITION BY d.root_id ORDER BY d.position) AS version
        FROM decided d
    ) n;
    IF decisions IS NULL THEN
        RETURN false;
    END IF;
    PERFORM identity.record_decisions(decisions, 'registration');
    RETURN true;
END $$;

-- As before, but that consent is filled once every account is there: accounts are locked
-- before people.
CREATE OR REPLACE FUNCTION identity.register_persons(requests jsonb) RETURNS jsonb
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

    IF jsonb_path_exists(register_persons.requests, '$[*].consent.*')
        AND identity.fill_consents((
            SELECT jsonb_agg(jsonb_build_object(
                'link_id', r.answer #> '{ok,identity,link_id}', 'consent', r.request -> 'consent'
            ) ORDER BY r.position)
            FROM ROWS FROM (
                jsonb_array_elements(register_persons.requests), jsonb_array_elements(answers)
            ) WITH ORDINALITY AS r (request, answer, position)
        ))
    THEN
        SELECT jsonb_agg(
            jsonb_set(a.answer, '{ok,identity}', i.identity) ORDER BY a.position
        ) INTO answers
        FROM jsonb_array_elements(answers) WITH ORDINALITY AS a (answer, position)
        CROSS JOIN LATERAL (
            SELECT i.identity FROM identity.identities i
            WHERE i.link_id = (a.answer #>> '{ok,identity,link_id}')::uuid
            LIMIT 1
        ) i;
    END IF;
    RETURN answers;
END $$;

-- {purposes, version}; null where there is no such person.
CREATE FUNCTION identity.get_consent(person_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'purposes', coalesce(p.consent_merged, p.consent_status), 'version', p.consent_version
        )
        FROM identity.identity_registry p WHERE p.person_id = get_consent.person_id
    );
END $$;

-- Purposes: {purpose: state}. Answers what the person allows now. Raises ZI004.
CREATE FUNCTION identity.set_consent(person_id uuid, purposes jsonb, source text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    decisions jsonb;
BEGIN
    PERFORM identity.lock_for_change(ARRAY[set_consent.person_id]);
    -- Whoever unsets what was never decided has decided nothing.
    SELECT jsonb_agg(jsonb_build_object(
        'person_id', t.person_id, 'root_id', t.root_id, 'purpose', c.purpose,
        'state', c.state, 'version', t.consent_version + 1
    )) INTO decisions
    FROM identity.identity_registry p
    CROSS JOIN LATERAL (
        SELECT * FROM identity.identity_registry t WHERE t.root_id = p.root_id OFFSET 0
    ) t
    CROSS JOIN jsonb_each_text(set_consent.purposes) AS c (purpose, state)
    WHERE p.person_id = set_consent.person_id
      AND coalesce(t.consent_status ->> c.purpose, 'unset') <> c.state;
    IF decisions IS NOT NULL THEN
        PERFORM identity.record_decisions(decisions, set_consent.source);
    END IF;
    RETURN identity.get_consent(set_consent.person_id);
END $$;

-- Newest first; null where there is no such person.
CREATE FUNCTION identity.list_consent_history(
    person_id uuid, purpose text, before_changed_at timestamptz, before_version bigint,
    before_person_id uuid, before_purpose text, page_limit int
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(
            (
                SELECT jsonb_agg(to_jsonb(h) ORDER BY
                    h.changed_at DESC, h.version DESC, h.person_id DESC, h.purpose DESC)
                FROM (
                    SELECT h.*
                    FROM identity.identity_registry a
                    CROSS JOIN LATERAL (
                        SELECT * FROM identity.consent_history h
                        WHERE h.person_id = a.person_id
                          AND h.changed_at
                              <= coalesce(list_consent_history.before_changed_at, 'infinity')
                          AND (list_consent_history.before_changed_at IS NULL
                               OR (h.changed_at, h.version, h.person_id, h.purpose) < (
                                   list_consent_history.before_changed_at,
                                   list_consent_history.before_version,
                                   list_consent_history.before_person_id,
                                   list_consent_history.before_purpose COLLATE "C"))
                          AND (list_consent_history.purpose IS NULL
                               OR h.purpose = list_consent_history.purpose)
                        ORDER BY h.changed_at DESC, h.version DESC, h.purpose DESC
                        LIMIT list_consent_history.page_limit
                    ) h
                    WHERE a.root_id = p.root_id
                    ORDER BY h.changed_at DESC, h.version DESC, h.person_id DESC, h.purpose DESC
                    LIMIT list_consent_history.page_limit
                ) h
            ), '[]')
        FROM identity.identity_registry p WHERE p.person_id = list_consent_history.person_id
    );
END $$;
