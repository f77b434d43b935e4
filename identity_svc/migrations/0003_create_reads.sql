-- Reading: who holds an account, who a person is, which links they have.

-- Requests: [{platform, platform_id}]. Outcomes: [{"ok": identity}], or
-- {"error": {"code": "LINK_NOT_FOUND"}}.
CREATE FUNCTION identity.resolve_identities(requests jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(
            CASE WHEN i.link_id IS NULL THEN '{"error": {"code": "LINK_NOT_FOUND"}}'::jsonb
                 ELSE jsonb_build_object('ok', i.identity) END
            ORDER BY r.position
        ), '[]')
        FROM jsonb_array_elements(resolve_identities.requests)
            WITH ORDINALITY AS r (request, position)
        LEFT JOIN LATERAL (
            SELECT * FROM identity.identities i
            WHERE i.platform = r.request ->> 'platform'
              AND i.platform_id = r.request ->> 'platform_id'
              AND i.ended_at IS NULL
            LIMIT 1
        ) i ON true
    );
END $$;

-- Outcomes: [{"ok": person}], or {"error": {"code": "PERSON_NOT_FOUND"}}.
CREATE FUNCTION identity.get_persons(person_ids text[]) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(
            CASE WHEN p.person_id IS NULL THEN '{"error": {"code": "PERSON_NOT_FOUND"}}'::jsonb
                 ELSE jsonb_build_object('ok', to_jsonb(p)) END
            ORDER BY r.position
        ), '[]')
        FROM unnest(get_persons.person_ids::uuid[]) WITH ORDINALITY AS r (person_id, position)
        LEFT JOIN LATERAL (
            SELECT * FROM identity.persons p WHERE p.person_id = r.person_id LIMIT 1
        ) p ON true
    );
END $$;

-- Null where there is no such person.
CREATE FUNCTION identity.list_links(
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
                    SELECT * FROM identity.identity_links l
                    WHERE l.person_id = list_links.person_id
                      AND (l.created_at, l.link_id) > (
                          coalesce(list_links.after_created_at, '-infinity'),
                          coalesce(list_links.after_link_id,
                                   '00000000-0000-0000-0000-000000000000')
                      )
                    ORDER BY l.created_at, l.link_id
                    LIMIT list_links.page_limit
                ) l
            ), '[]')
        FROM identity.identity_registry p WHERE p.person_id = list_links.person_id
    );
END $$;

-- The age in seconds of each last_seen_at afterwards, by person. A row that somebody else
-- has locked is left as it is.
CREATE FUNCTION identity.touch_persons(person_ids text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    ages jsonb;
BEGIN
    WITH stale AS MATERIALIZED (
        SELECT p.person_id FROM identity.identity_registry p
        WHERE p.person_id = ANY (touch_persons.person_ids::uuid[])
          AND coalesce(p.last_seen_at, '-infinity') < now() - interval '1 minute'
        ORDER BY p.person_id
        FOR NO KEY UPDATE SKIP LOCKED
    ), touched AS (
        UPDATE identity.identity_registry p SET last_seen_at = now()
        WHERE p.person_id = ANY (ARRAY(SELECT s.person_id FROM stale s))
        RETURNING p.person_id
    )
    SELECT jsonb_object_agg(
               p.person_id,
               CASE WHEN t.person_id IS NULL THEN extract(epoch FROM now() - p.last_seen_at)
                    ELSE 0 END
           )
    INTO ages
    FROM identity.identity_registry p LEFT JOIN touched t USING (person_id)
    WHERE p.person_id = ANY (touch_persons.person_ids::uuid[]);
    -- Null is the age of somebody never seen, whose row is locked.
    RETURN coalesce(jsonb_strip_nulls(ages), '{}');
END $$;
