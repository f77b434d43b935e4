-- Storing and deleting items.
-- A request that meets its id with another body is answered {"error": {"code": "ZK001"}}.

-- Independent requests; each is answered
-- {"ok": {"outcome": created | duplicate | deleted, "knowledge_id", "revision"}} or an error.
CREATE FUNCTION knowledge.store_items(requests jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    remaining bigint[];
    part jsonb;
    answers jsonb := '[]';
BEGIN
    -- Writers of equal ids or equal content go one after the other. Ids and content share one
    -- set of locks, taken in one order: two unique indexes alone would let writers deadlock.
    PERFORM pg_advisory_xact_lock(1802204019, k.bucket)
    FROM (
        SELECT DISTINCT hashtext(key) & 1023 AS bucket
        FROM jsonb_array_elements(store_items.requests) r
        CROSS JOIN LATERAL (VALUES (r ->> 'knowledge_id'), (r ->> 'content_hash')) v (key)
        ORDER BY bucket
    ) k;

    remaining := ARRAY(SELECT generate_series(1, jsonb_array_length(store_items.requests)));
    -- A request whose id or content an earlier one brings too waits for the next round.
    WHILE cardinality(remaining) > 0 LOOP
        WITH request AS MATERIALIZED (
            SELECT r.*
            FROM ROWS FROM (
                jsonb_to_recordset(store_items.requests) AS (
                    knowledge_id uuid, namespace text, content text, metadata jsonb,
                    subject_id uuid, person_id uuid, group_id uuid, session_id uuid,
                    platform text, source_event_id uuid, source_position bigint,
                    occurred_at timestamptz, owner uuid, content_hash bytea, body_hash bytea,
                    terms text[], term_counts smallint[], term_total integer)
            ) WITH ORDINALITY r (
                knowledge_id, namespace, content, metadata,
                subject_id, person_id, group_id, session_id,
                platform, source_event_id, source_position,
                occurred_at, owner, content_hash, body_hash,
                terms, term_counts, term_total, place)
            WHERE r.place = ANY (remaining)
        ), judged AS MATERIALIZED (
            SELECT r.place, r.knowledge_id, r.owner, r.namespace, r.content_hash,
                   r.source_event_id IS NULL AS once,
                   CASE
                       WHEN same.knowledge_id IS NOT NULL AND same.body_hash <> r.body_hash
                           THEN 'conflict'
                       WHEN gone.knowledge_id IS NOT NULL THEN 'deleted'
                       WHEN coalesce(same.knowledge_id, twin.knowledge_id) IS NOT NULL
                           THEN 'duplicate'
                       ELSE 'created'
                   END AS outcome,
                   coalesce(same.knowledge_id, twin.knowledge_id, r.knowledge_id) AS stored_id,
                   coalesce(same.revision, twin.revision) AS revision
            FROM request r
            LEFT JOIN knowledge.deleted_ids gone ON gone.knowledge_id = r.knowledge_id
            LEFT JOIN knowledge.knowledge_items same
                ON same.knowledge_id = r.knowledge_id AND same.deleted_at IS NULL
            LEFT JOIN knowledge.knowledge_items twin
                ON r.source_event_id IS NULL AND twin.source_event_id IS NULL
               AND twin.deleted_at IS NULL AND twin.content_hash = r.content_hash
               AND twin.namespace = r.namespace AND twin.owner = r.owner
        ), fresh AS (
            SELECT j.place, nextval('knowledge.revisions') AS revision
            FROM (
                SELECT place,
                       row_number() OVER (PARTITION BY knowledge_id ORDER BY place) = 1
                       AND (NOT once OR row_number() OVER (
                           PARTITION BY once, owner, namespace, content_hash ORDER BY place) = 1
                       ) AS is_first
                FROM judged WHERE outcome = 'created' ORDER BY place
            ) j
            WHERE j.is_first
        ), inserted AS (
            INSERT INTO knowledge.knowledge_items (
                knowledge_id, revision, occurred_at, subject_id, person_id, group_id,
                session_id, source_event_id, owner, source_position, term_total, namespace,
                platform, content_hash, body_hash, terms, term_counts, metadata, content)
            SELECT r.knowledge_id, f.revision, coalesce(r.occurred_at, now()), r.subject_id,
                   r.person_id, r.group_id, r.session_id, r.source_event_id, r.owner,
                   r.source_position, r.term_total, r.namespace, r.platform, r.content_hash,
                   r.body_hash, r.terms, r.term_counts, r.metadata, r.content
            FROM fresh f JOIN request r USING (place)
            ORDER BY r.knowledge_id
        ), queued AS (
            INSERT INTO knowledge.index_states (knowledge_id, revision)
            SELECT r.knowledge_id, f.revision
            FROM fresh f JOIN request r USING (place)
        )
        SELECT jsonb_agg(jsonb_build_object(
                   'place', j.place,
                   'answer', CASE j.outcome
                       WHEN 'conflict' THEN '{"error": {"code": "ZK001"}}'::jsonb
                       ELSE jsonb_build_object('ok', jsonb_build_object(
                           'outcome', j.outcome, 'knowledge_id', j.stored_id,
                           'revision', coalesce(f.revision, j.revision)))
                   END))
        INTO part
        FROM judged j LEFT JOIN fresh f USING (place)
        WHERE j.outcome <> 'created' OR f.place IS NOT NULL;

        answers := answers || part;
        remaining := ARRAY(
            SELECT r FROM unnest(remaining) r
            EXCEPT SELECT (p -> 'place')::bigint FROM jsonb_array_elements(part) p);
    END LOOP;

    RETURN (
        SELECT jsonb_agg(a -> 'answer' ORDER BY (a -> 'place')::bigint)
        FROM jsonb_array_elements(answers) a);
END $$;

-- First step of deletions: from here on nobody sees the items, and storing them again does not
-- bring them back. Independent requests {"knowledge_id", "request_id"}, each answered
-- {"ok": whether it deleted the item}. What an indexer is at just now is left to the queue.
CREATE FUNCTION knowledge.start_deletions(requests jsonb, owner text, lease_ms integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    found uuid[];
BEGIN
    found := ARRAY(
        SELECT i.knowledge_id FROM knowledge.knowledge_items i
        WHERE i.deleted_at IS NULL AND i.knowledge_id = ANY (ARRAY(
            SELECT (r ->> 'knowledge_id')::uuid FROM jsonb_array_elements(requests) r))
        ORDER BY i.knowledge_id FOR UPDATE);

    INSERT INTO knowledge.deleted_ids (knowledge_id, request_id)
    SELECT DISTINCT ON (1) (r.value ->> 'knowledge_id')::uuid, (r.value ->> 'request_id')::uuid
    FROM jsonb_array_elements(requests) WITH ORDINALITY r (value, place)
    WHERE (r.value ->> 'knowledge_id')::uuid = ANY (found)
    ORDER BY 1, r.place;
    UPDATE knowledge.knowledge_items i SET deleted_at = now() WHERE i.knowledge_id = ANY (found);
    UPDATE knowledge.index_states s
    SET state = 'deleting',
        lease_owner = CASE WHEN held.by_indexer THEN s.lease_owner ELSE start_deletions.owner END,
        next_attempt_at = CASE WHEN held.by_indexer THEN s.next_attempt_at
            ELSE now() + make_interval(secs => start_deletions.lease_ms / 1000.0) END
    FROM (
        SELECT h.knowledge_id, h.state = 'pending' AND h.lease_owner IS NOT NULL
               AND h.next_attempt_at > now() AS by_indexer
        FROM knowledge.index_states h WHERE h.knowledge_id = ANY (found)
        ORDER BY h.knowledge_id FOR UPDATE
    ) held
    WHERE s.knowledge_id = held.knowledge_id;

    RETURN (
        SELECT jsonb_agg(jsonb_build_object('ok', d.knowledge_id IS NOT NULL) ORDER BY r.place)
        FROM jsonb_array_elements(requests) WITH ORDINALITY r (value, place)
        LEFT JOIN knowledge.deleted_ids d
            ON d.knowledge_id = (r.value ->> 'knowledge_id')::uuid
           AND d.request_id = (r.value ->> 'request_id')::uuid);
END $$;

-- Last step of deletions: the vectors are gone, now the rows. Only those that `owner` holds.
CREATE FUNCTION knowledge.finish_deletions(ids text[], owner text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    DELETE FROM knowledge.knowledge_items i
    USING knowledge.index_states s
    WHERE i.knowledge_id = ANY (finish_deletions.ids::uuid[])
      AND s.knowledge_id = i.knowledge_id
      AND s.state = 'deleting' AND s.lease_owner = finish_deletions.owner;
    RETURN 'null';
END $$;

-- Those of the ids, in order, that are neither stored nor deleted.
CREATE FUNCTION knowledge.find_missing(ids text[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(a.id ORDER BY a.place), '[]')
    FROM unnest(find_missing.ids) WITH ORDINALITY a (id, place)
    WHERE NOT EXISTS (SELECT FROM knowledge.knowledge_items i WHERE i.knowledge_id = a.id::uuid)
      AND NOT EXISTS (SELECT FROM knowledge.deleted_ids d WHERE d.knowledge_id = a.id::uuid)
$$;

-- An item, or null.
CREATE FUNCTION knowledge.get_item(knowledge_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT knowledge.rendered(i, s)
    FROM knowledge.knowledge_items i JOIN knowledge.index_states s USING (knowledge_id)
    WHERE i.knowledge_id = get_item.knowledge_id AND i.deleted_at IS NULL
$$;

-- The items that fit, newest first, from below a place on. Of several subjects one limited
-- scan each is merged.
CREATE FUNCTION knowledge.list_items(
    filter jsonb, most integer,
    before_time timestamptz DEFAULT NULL, before_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(list_items.filter);
    subjects uuid[] := chosen.subject_ids;
    page uuid[];
BEGIN
    IF subjects IS NULL THEN
        page := ARRAY(
            SELECT i.knowledge_id FROM knowledge.knowledge_items i
            WHERE knowledge.fits(i, chosen)
              AND (before_time IS NULL OR (i.occurred_at, i.knowledge_id) < (before_time, before_id))
            ORDER BY i.occurred_at DESC, i.knowledge_id DESC LIMIT list_items.most);
    ELSE
        chosen.subject_ids := NULL;
        page := ARRAY(
            SELECT n.knowledge_id
            FROM (SELECT DISTINCT u.id FROM unnest(subjects) u (id)) subject
            CROSS JOIN LATERAL (
                SELECT i.occurred_at, i.knowledge_id FROM knowledge.knowledge_items i
                WHERE i.subject_id = subject.id AND knowledge.fits(i, chosen)
                  AND (before_time IS NULL
                       OR (i.occurred_at, i.knowledge_id) < (before_time, before_id))
                ORDER BY i.occurred_at DESC, i.knowledge_id DESC LIMIT list_items.most) n
            ORDER BY n.occurred_at DESC, n.knowledge_id DESC LIMIT list_items.most);
    END IF;
    RETURN (
        SELECT coalesce(jsonb_agg(knowledge.rendered(i, s)
                        ORDER BY i.occurred_at DESC, i.knowledge_id DESC), '[]')
        FROM knowledge.knowledge_items i JOIN knowledge.index_states s USING (knowledge_id)
        WHERE i.knowledge_id = ANY (page));
END $$;
