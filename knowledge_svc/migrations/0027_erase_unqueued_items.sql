-- An erasure queues what the queue of the index does not know, rather than wait for it.

-- Hides some of the items about erased subjects, for good, and takes up those of the hidden ones
-- that nobody is at: {"ids", "held"}. The vectors of `ids` are to go next, then the rows
-- (`finish_deletions`); `held` is how many of the rest an indexer, or another eraser, is at.
CREATE OR REPLACE FUNCTION knowledge.erase_items(
    subject_ids text[], owner text, lease_ms integer, most integer
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' SET jit = off AS $$
#variable_conflict use_column
DECLARE
    subjects uuid[] := knowledge.hold_erased(erase_items.subject_ids);
    chosen uuid[];
    taken uuid[];
    rest uuid[] := '{}';
    counts jsonb;
BEGIN
    -- Without a sort, so that it ends with the last one wanted.
    chosen := ARRAY(
        SELECT t.knowledge_id
        FROM (
            SELECT i.knowledge_id FROM knowledge.knowledge_items i
            WHERE i.subject_id = ANY (subjects)
            UNION ALL
            SELECT i.knowledge_id FROM knowledge.knowledge_items i
            WHERE i.subject_id IS NULL AND i.person_id = ANY (subjects)
            UNION ALL
            SELECT m.knowledge_id FROM knowledge.memories m WHERE m.person_id = ANY (subjects)
            UNION ALL
            SELECT i.knowledge_id
            FROM knowledge.documents d JOIN knowledge.knowledge_items i USING (document_id)
            WHERE d.subject_id = ANY (subjects)
               OR d.subject_id IS NULL AND d.person_id = ANY (subjects)
        ) t
        JOIN knowledge.knowledge_items i USING (knowledge_id)
        JOIN knowledge.index_states s USING (knowledge_id)
        WHERE i.deleted_at IS NULL OR s.lease_owner IS NULL OR s.next_attempt_at <= now()
           OR s.lease_owner = erase_items.owner
        LIMIT erase_items.most);
    chosen := ARRAY(
        SELECT i.knowledge_id FROM knowledge.knowledge_items i
        WHERE i.knowledge_id = ANY (chosen) ORDER BY i.knowledge_id FOR UPDATE);

    WITH hidden AS (
        UPDATE knowledge.knowledge_items i SET deleted_at = now()
        WHERE i.knowledge_id = ANY (chosen) AND i.deleted_at IS NULL
        RETURNING i.knowledge_id,
            CASE WHEN i.subject_id = ANY (subjects) THEN i.subject_id
                 WHEN i.person_id = ANY (subjects) THEN i.person_id
                 ELSE subjects[1] END AS subject_id
    ), kept AS (
        INSERT INTO knowledge.deleted_ids (knowledge_id, request_id)
        SELECT h.knowledge_id, gen_random_uuid() FROM hidden h
        ON CONFLICT DO NOTHING
    )
    SELECT jsonb_agg(jsonb_build_object(
               'subject_id', h.subject_id, 'kind', k.kind, 'number', 1))
    INTO counts
    FROM hidden h
    JOIN knowledge.index_states s USING (knowledge_id)
    CROSS JOIN LATERAL (VALUES ('items', true), ('vectors', s.embedding_model IS NOT NULL))
        k (kind, is_one)
    WHERE k.is_one;
    PERFORM knowledge.note_erased(counts);

    -- Whoever is indexing an item just now is to find that it is gone, and take its vector back.
    WITH locked AS (
        SELECT s.knowledge_id,
               s.lease_owner IS NULL OR s.next_attempt_at <= now()
               OR s.lease_owner = erase_items.owner AS is_free
        FROM knowledge.index_states s WHERE s.knowledge_id = ANY (chosen)
        ORDER BY s.knowledge_id FOR UPDATE
    ), updated AS (
        UPDATE knowledge.index_states s
        SET state = 'deleting',
            pending_since = CASE s.state WHEN 'deleting' THEN s.pending_since ELSE now() END,
            lease_owner = CASE WHEN l.is_free THEN erase_items.owner ELSE s.lease_owner END,
            next_attempt_at = CASE WHEN l.is_free
                THEN now() + make_interval(secs => erase_items.lease_ms / 1000.0)
                ELSE s.next_attempt_at END
        FROM locked l WHERE s.knowledge_id = l.knowledge_id
        RETURNING s.knowledge_id, l.is_free
    )
    SELECT array_agg(u.knowledge_id) FILTER (WHERE u.is_free) INTO taken FROM updated u;
    taken := coalesce(taken, '{}');

    IF cardinality(taken) = 0 THEN
        rest := ARRAY(
            SELECT i.knowledge_id FROM knowledge.knowledge_items i
            WHERE i.subject_id = ANY (subjects)
               OR i.subject_id IS NULL AND i.person_id = ANY (subjects)
               OR i.knowledge_id IN (
                      SELECT m.knowledge_id FROM knowledge.memories m
                      WHERE m.person_id = ANY (subjects))
               OR i.document_id IN (
                      SELECT d.document_id FROM knowledge.documents d
                      WHERE d.subject_id = ANY (subjects)
                         OR d.subject_id IS NULL AND d.person_id = ANY (subjects)));
        -- What the queue does not know nobody is at: the next step takes it.
        INSERT INTO knowledge.index_states (knowledge_id, revision, state)
        SELECT i.knowledge_id, i.revision,
               CASE WHEN i.deleted_at IS NULL THEN 'pending' ELSE 'deleting' END
        FROM knowledge.knowledge_items i
        WHERE i.knowledge_id = ANY (rest) AND NOT EXISTS (
            SELECT FROM knowledge.index_states s WHERE s.knowledge_id = i.knowledge_id)
        ORDER BY i.knowledge_id
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN jsonb_build_object('ids', to_jsonb(taken), 'held', cardinality(rest));
END $$;
