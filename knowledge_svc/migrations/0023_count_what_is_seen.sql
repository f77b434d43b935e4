-- The pieces of a document that is being read are on no shelf before it has been read.

-- What stands on shelves above `after`: by the counts, less the pieces of documents that nobody is to
-- see, or of some subjects, counted one by one.
CREATE OR REPLACE FUNCTION knowledge.all_shelves(after text) RETURNS TABLE (
    namespace text, items numeric, unindexed_items bigint, documents bigint,
    document_bytes numeric, last_occurred_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT n.namespace, sum(n.items), sum(n.unindexed)::bigint, sum(n.documents)::bigint,
           sum(n.bytes), (
               SELECT i.occurred_at FROM knowledge.knowledge_items i
               WHERE i.namespace = n.namespace AND i.deleted_at IS NULL
                 AND NOT EXISTS (
                     SELECT FROM knowledge.hidden_readings h WHERE h.reading = i.reading)
               ORDER BY i.occurred_at DESC LIMIT 1)
    FROM (
        SELECT c.namespace, c.items, 0 AS unindexed, 0 AS documents, 0 AS bytes
        FROM knowledge.namespaces c
        UNION ALL
        SELECT c.namespace, c.items, 0, 0, 0 FROM knowledge.namespace_changes c
        UNION ALL
        SELECT i.namespace, 0, count(*), 0, 0
        FROM (SELECT p.knowledge_id FROM knowledge.index_states p WHERE p.state = 'pending'
              UNION ALL
              -- By an index of its own.
              SELECT f.knowledge_id FROM knowledge.index_states f WHERE f.state = 'failed') s
        JOIN knowledge.knowledge_items i USING (knowledge_id) GROUP BY 1
        UNION ALL
        SELECT i.namespace, -count(*),
               -count(*) FILTER (WHERE s.state IN ('pending', 'failed')), 0, 0
        FROM knowledge.hidden_readings h
        JOIN knowledge.knowledge_items i USING (document_id, reading)
        LEFT JOIN knowledge.index_states s USING (knowledge_id)
        WHERE i.deleted_at IS NULL GROUP BY 1
        UNION ALL
        SELECT d.namespace, 0, 0, count(*), sum(d.size) FROM knowledge.documents d
        WHERE d.state NOT IN ('storing', 'deleting') GROUP BY 1
    ) n
    WHERE n.namespace > all_shelves.after
    GROUP BY 1
$$;

CREATE OR REPLACE FUNCTION knowledge.shelves_of(subject_ids uuid[], after text) RETURNS TABLE (
    namespace text, items numeric, unindexed_items bigint, documents bigint,
    document_bytes numeric, last_occurred_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT n.namespace, sum(n.items), sum(n.unindexed)::bigint, sum(n.documents)::bigint,
           sum(n.bytes), max(n.last)
    FROM (
        SELECT i.namespace, count(*) AS items, 0 AS documents, 0 AS bytes,
               count(*) FILTER (WHERE s.state IN ('pending', 'failed')) AS unindexed,
               max(i.occurred_at) AS last
        FROM knowledge.knowledge_items i JOIN knowledge.index_states s USING (knowledge_id)
        WHERE i.subject_id = ANY (shelves_of.subject_ids) AND i.deleted_at IS NULL
          AND NOT EXISTS (SELECT FROM knowledge.hidden_readings h WHERE h.reading = i.reading)
        GROUP BY 1
        UNION ALL
        SELECT d.namespace, 0, count(*), sum(d.size), 0, NULL FROM knowledge.documents d
        WHERE d.subject_id = ANY (shelves_of.subject_ids)
          AND d.state NOT IN ('storing', 'deleting') GROUP BY 1
    ) n
    WHERE n.namespace > shelves_of.after
    GROUP BY 1
$$;
