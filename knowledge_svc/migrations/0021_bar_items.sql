-- Ids that are given up before anything was stored under them.

-- Sees to it that nothing is ever stored under an id that has no item, as if there had been one that
-- was deleted. Answers false, and does nothing, where there is one: it is to be deleted.
CREATE FUNCTION knowledge.bar_item(knowledge_id uuid, request_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    -- The lock of `store_items`, so that nobody stores it meanwhile.
    PERFORM pg_advisory_xact_lock(1802204019, hashtext(bar_item.knowledge_id::text) & 1023);
    IF EXISTS (
        SELECT FROM knowledge.knowledge_items i
        WHERE i.knowledge_id = bar_item.knowledge_id AND i.deleted_at IS NULL
    ) THEN
        RETURN to_jsonb(false);
    END IF;
    INSERT INTO knowledge.deleted_ids (knowledge_id, request_id)
    VALUES (bar_item.knowledge_id, bar_item.request_id)
    ON CONFLICT DO NOTHING;
    RETURN to_jsonb(true);
END $$;
