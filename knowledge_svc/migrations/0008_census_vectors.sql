-- What a census and an erasure need of the vectors on pgvector: to walk through the ids, to read
-- what stands beside the numbers, and to remove by what a search can be narrowed by.

-- Up to `most` ids above `after`, in order.
CREATE FUNCTION knowledge.vector_ids(space text, after text, most integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    found jsonb;
BEGIN
    EXECUTE format(
        'SELECT coalesce(jsonb_agg(v.knowledge_id ORDER BY v.knowledge_id), ''[]'') FROM (
             SELECT knowledge_id FROM knowledge.%I
             WHERE knowledge_id > coalesce($1::uuid, ''00000000-0000-0000-0000-000000000000'')
             ORDER BY knowledge_id LIMIT $2) v',
        'vectors_' || vector_ids.space) INTO found USING vector_ids.after, vector_ids.most;
    RETURN found;
END $$;

-- Removes the vectors that fit `narrow` (the keys of an item filter that a vector has); with
-- nothing to narrow by it removes none.
CREATE FUNCTION knowledge.delete_vectors_where(space text, narrow jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(delete_vectors_where.narrow);
BEGIN
    IF delete_vectors_where.narrow = '{}' THEN
        RETURN 'null';
    END IF;
    EXECUTE format(
        'DELETE FROM knowledge.%I v
         WHERE ($1.namespaces IS NULL OR v.namespace = ANY ($1.namespaces))
           AND ($1.subject_ids IS NULL OR v.subject_id = ANY ($1.subject_ids))
           AND ($1.group_id IS NULL OR v.group_id = $1.group_id)
           AND ($1.session_id IS NULL OR v.session_id = $1.session_id)
           AND ($1.occurred_from IS NULL OR v.occurred_at >= $1.occurred_from)
           AND ($1.occurred_to IS NULL OR v.occurred_at < $1.occurred_to)',
        'vectors_' || delete_vectors_where.space) USING chosen;
    RETURN 'null';
END $$;
