-- A platform that few people are on is listed by its links, whatever the planner takes it for: it
-- knows how many links of a platform there ever were, and not that most of them have ended.

-- People as they are now, in order of creation. NULL leaves a filter out; which are given
-- decides which index serves, so the statement is planned for each call.
CREATE OR REPLACE FUNCTION identity.list_persons(
    platform text, metadata jsonb, seen_from timestamptz, seen_to timestamptz,
    after_created_at timestamptz, after_person_id uuid, page_limit int
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    most_few CONSTANT int := 500;
    people text := 'identity.identity_registry';
    conditions text := '';
    few uuid[];
    page jsonb;
BEGIN
    IF list_persons.platform IS NOT NULL THEN
        few := ARRAY(
            SELECT l.person_id FROM identity.identity_links l
            WHERE l.platform = list_persons.platform AND l.ended_at IS NULL
            LIMIT most_few + 1
        );
        IF cardinality(few) <= most_few THEN
            -- Theirs alone are read, before anything else is asked.
            people := $c$(
                SELECT p.* FROM identity.identity_registry p
                WHERE p.person_id = ANY (ARRAY(
                    SELECT a.root_id FROM identity.identity_registry a
                    WHERE a.person_id = ANY ($8)))
                OFFSET 0)$c$;
        ELSE
            conditions := conditions || $c$ AND p.person_id IN (
                SELECT a.root_id
                FROM identity.identity_links l JOIN identity.identity_registry a USING (person_id)
                WHERE l.platform = $1 AND l.ended_at IS NULL)$c$;
        END IF;
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
            SELECT p.person_id FROM %s p
            WHERE p.merged_into IS NULL %s
            ORDER BY p.created_at, p.person_id
            LIMIT $7
        ) found
        CROSS JOIN LATERAL (
            SELECT * FROM identity.persons p WHERE p.person_id = found.person_id LIMIT 1
        ) p
    $c$, people, conditions) INTO page
    USING list_persons.platform, list_persons.metadata, list_persons.seen_from,
          list_persons.seen_to, list_persons.after_created_at, list_persons.after_person_id,
          list_persons.page_limit, few;
    RETURN page;
END $$;
