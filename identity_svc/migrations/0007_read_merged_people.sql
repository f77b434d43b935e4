-- Reading people who may be several: by any of their ids, the person they are now.

-- People as they are now; aliases are part of them.
DROP VIEW identity.persons;
CREATE VIEW identity.persons AS
SELECT
    p.person_id, p.created_at, p.last_seen_at, p.metadata, p.etag,
    jsonb_build_object(
        'purposes', coalesce(p.consent_merged, p.consent_status), 'version', p.consent_version
    ) AS consent,
    t.person_ids,
    ARRAY(
        SELECT s.subject_id
        FROM unnest(t.person_ids) WITH ORDINALITY AS one (person_id, position)
        CROSS JOIN LATERAL unnest(one.person_id || ARRAY(
            SELECT l.link_id FROM identity.identity_links l
            WHERE l.person_id = one.person_id ORDER BY l.created_at, l.link_id
        )) WITH ORDINALITY AS s (subject_id, position)
        ORDER BY one.position, s.position
    ) AS subject_ids
FROM identity.identity_registry p
CROSS JOIN LATERAL (
    SELECT ARRAY(
        SELECT a.person_id
        FROM identity.identity_registry a
        LEFT JOIN LATERAL (
            SELECT m.merged_at, m.merge_id FROM identity.merges m
            WHERE a.merged_into IS NOT NULL
              AND m.source_person_id = a.person_id AND m.unmerged_at IS NULL
            LIMIT 1
        ) m ON true
        WHERE a.root_id = p.person_id
        ORDER BY a.merged_into IS NOT NULL, m.merged_at, m.merge_id
    ) AS person_ids
) t
WHERE p.merged_into IS NULL;

-- Whom links lead to: the person as they are now, and what they all together allow.
CREATE OR REPLACE VIEW identity.identities AS
SELECT
    l.link_id, l.person_id, l.platform, l.platform_id, l.ended_at,
    jsonb_build_object(
        'person_id', p.root_id,
        'link_id', l.link_id,
        'platform', l.platform,
        'platform_id', l.platform_id,
        'consent', jsonb_build_object(
            'purposes', coalesce(p.consent_merged, p.consent_status), 'version', p.consent_version
        ),
        'registration_pending', l.registration_pending
    ) AS identity
FROM identity.identity_links l JOIN identity.identity_registry p USING (person_id);

-- {merged_persons, merges} of a person who is known by these ids, their own first.
CREATE FUNCTION identity.past_of(person_ids uuid[]) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    -- Nearly everybody.
    IF cardinality(past_of.person_ids) = 1
        AND NOT EXISTS (
            SELECT FROM identity.merges m WHERE m.source_person_id = past_of.person_ids[1]
        )
        AND NOT EXISTS (
            SELECT FROM identity.merges m WHERE m.target_person_id = past_of.person_ids[1]
        )
    THEN
        RETURN '{"merged_persons": [], "merges": []}';
    END IF;
    RETURN jsonb_build_object('merged_persons', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'person_id', a.person_id, 'merge_id', m.merge_id,
            'created_at', a.created_at, 'metadata', a.metadata
        ) ORDER BY one.position), '[]')
        FROM unnest(past_of.person_ids[2:]) WITH ORDINALITY AS one (person_id, position)
        CROSS JOIN LATERAL (
            SELECT * FROM identity.identity_registry a WHERE a.person_id = one.person_id LIMIT 1
        ) a
        CROSS JOIN LATERAL (
            SELECT m.merge_id FROM identity.merges m
            WHERE m.source_person_id = one.person_id AND m.unmerged_at IS NULL LIMIT 1
        ) m
    ), 'merges', (
        SELECT coalesce(jsonb_agg(to_jsonb(m) ORDER BY m.merged_at, m.merge_id), '[]')
        FROM (
            SELECT DISTINCT ON (m.merged_at, m.merge_id) m.*
            FROM unnest(past_of.person_ids) AS one (person_id)
            CROSS JOIN LATERAL (
                (SELECT * FROM identity.merges s WHERE s.source_person_id = one.person_id
                 ORDER BY s.merged_at DESC, s.merge_id DESC LIMIT 100)
                UNION ALL
                (SELECT * FROM identity.merges t WHERE t.target_person_id = one.person_id
                 ORDER BY t.merged_at DESC, t.merge_id DESC LIMIT 100)
            ) m
            ORDER BY m.merged_at DESC, m.merge_id DESC
            LIMIT 100
        ) m
    ));
END $$;

-- Outcomes: [{"ok": person}], or {"error": {"code": "PERSON_NOT_FOUND"}}. Not the whole
-- person lacks metadata, merged_persons and merges.
DROP FUNCTION identity.get_persons(text[]);
CREATE FUNCTION identity.get_persons(person_ids text[], whole boolean DEFAULT true) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(
            CASE WHEN p.person_id IS NULL THEN '{"error": {"code": "PERSON_NOT_FOUND"}}'::jsonb
                 WHEN get_persons.whole
                     THEN jsonb_build_object('ok', to_jsonb(p) || identity.past_of(p.person_ids))
                 ELSE jsonb_build_object('ok', to_jsonb(p) - 'metadata') END
            ORDER BY r.position
        ), '[]')
        FROM unnest(get_persons.person_ids::uuid[]) WITH ORDINALITY AS r (person_id, position)
        LEFT JOIN LATERAL (
            SELECT * FROM identity.persons p
            WHERE p.person_id = (
                SELECT a.root_id FROM identity.identity_registry a WHERE a.person_id = r.person_id
            )
            LIMIT 1
        ) p ON true
    );
END $$;

-- The whole person behind an id; null where there is none.
CREATE FUNCTION identity.person_now(person_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN identity.get_persons(ARRAY[person_now.person_id]::text[]) -> 0 -> 'ok';
END $$;

-- Null where there is no such person.
CREATE OR REPLACE FUNCTION identity.list_links(
    person_id uuid, after_created_at timestamptz, after_link_id uuid, page_limit int
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(
            (
                SELECT jsonb_agg(to_jsonb(l) ORDER BY l.created_at, l.link_id)
                FROM (
                    SELECT l.*
                    FROM identity.identity_registry a
                    CROSS JOIN LATERAL (
                        SELECT * FROM identity.identity_links l
                        WHERE l.person_id = a.person_id
                          AND (l.created_at, l.link_id) > (
                              coalesce(list_links.after_created_at, '-infinity'),
                              coalesce(list_links.after_link_id,
                                       '00000000-0000-0000-0000-000000000000')
                          )
                        ORDER BY l.created_at, l.link_id
                        LIMIT list_links.page_limit
                    ) l
                    WHERE a.root_id = p.root_id
                    ORDER BY l.created_at, l.link_id
                    LIMIT list_links.page_limit
                ) l
            ), '[]')
        FROM identity.identity_registry p WHERE p.person_id = list_links.person_id
    );
END $$;
