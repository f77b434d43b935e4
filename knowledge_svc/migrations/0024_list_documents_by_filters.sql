-- A list of documents goes along the index of what it is filtered by.

-- What a list of documents by a filter is read by, as for items.
CREATE INDEX documents_by_group ON knowledge.documents (group_id, created_at, document_id)
    WHERE group_id IS NOT NULL;
CREATE INDEX documents_by_session ON knowledge.documents (session_id, created_at, document_id)
    WHERE session_id IS NOT NULL;
CREATE INDEX documents_by_key ON knowledge.documents (document_key, created_at, document_id)
    WHERE document_key <> '';
CREATE INDEX documents_by_metadata
    ON knowledge.documents USING gin (metadata jsonb_path_ops);

DROP INDEX knowledge.documents_by_namespace;
CREATE INDEX documents_by_namespace
    ON knowledge.documents (namespace, created_at, document_id) INCLUDE (size)
    WHERE state NOT IN ('storing', 'deleting');

-- Whether a document is to be listed; the filter means what it means for items (`fits`), and like
-- that this is written out by the planner.
CREATE OR REPLACE FUNCTION knowledge.document_fits(
    document knowledge.documents, filter knowledge.item_filter, document_key text,
    with_earlier boolean, states text[]
) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (document).state = ANY (document_fits.states)
       AND ((document).is_latest OR document_fits.with_earlier)
       AND (document_fits.document_key IS NULL
            OR (document).document_key = document_fits.document_key)
       AND ((filter).namespaces IS NULL OR (document).namespace = ANY ((filter).namespaces))
       AND ((filter).subject_ids IS NULL OR (document).subject_id = ANY ((filter).subject_ids))
       AND ((filter).group_id IS NULL OR (document).group_id = (filter).group_id)
       AND ((filter).session_id IS NULL OR (document).session_id = (filter).session_id)
       AND ((filter).platform IS NULL OR (document).platform = (filter).platform)
       AND ((filter).occurred_from IS NULL OR (document).occurred_at >= (filter).occurred_from)
       AND ((filter).occurred_to IS NULL OR (document).occurred_at < (filter).occurred_to)
       AND ((filter).document_id IS NULL OR (document).document_id = (filter).document_id)
       AND ((filter).metadata IS NULL OR (document).metadata @@ (filter).metadata)
       AND ((filter).metadata_rest IS NULL
            OR (document).metadata OPERATOR(knowledge.@@) (filter).metadata_rest)
$$;

-- The documents that fit, newest first, from below a place on. Of several subjects one limited scan
-- each is merged.
CREATE OR REPLACE FUNCTION knowledge.list_documents(
    filter jsonb, document_key text, with_earlier boolean, states text[], most integer,
    before_time timestamptz DEFAULT NULL, before_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(list_documents.filter);
    subjects uuid[] := chosen.subject_ids;
    page uuid[];
BEGIN
    IF subjects IS NULL THEN
        page := ARRAY(
            SELECT d.document_id FROM knowledge.documents d
            WHERE (before_time IS NULL OR (d.created_at, d.document_id) < (before_time, before_id))
              AND knowledge.document_fits(d, chosen, list_documents.document_key, with_earlier, states)
            ORDER BY d.created_at DESC, d.document_id DESC LIMIT list_documents.most);
    ELSE
        chosen.subject_ids := NULL;
        page := ARRAY(
            SELECT n.document_id
            FROM (SELECT DISTINCT u.id FROM unnest(subjects) u (id)) subject
            CROSS JOIN LATERAL (
                SELECT d.created_at, d.document_id FROM knowledge.documents d
                WHERE d.subject_id = subject.id
                  AND (before_time IS NULL
                       OR (d.created_at, d.document_id) < (before_time, before_id))
                  AND knowledge.document_fits(
                      d, chosen, list_documents.document_key, with_earlier, states)
                ORDER BY d.created_at DESC, d.document_id DESC LIMIT list_documents.most) n
            ORDER BY n.created_at DESC, n.document_id DESC LIMIT list_documents.most);
    END IF;
    RETURN (
        SELECT coalesce(jsonb_agg(knowledge.document_rendered(d)
                        ORDER BY d.created_at DESC, d.document_id DESC), '[]')
        FROM knowledge.documents d WHERE d.document_id = ANY (page));
END $$;
