-- Filters on metadata: conditions come as SQL/JSON paths, and mean the same wherever `fits` is asked.

-- As `@@`, but not in any index's operator class: an index that cannot find by a path would be read
-- through as a whole. The planner's statistics know it as they know `@@`.
CREATE OPERATOR knowledge.@@ (
    LEFTARG = jsonb, RIGHTARG = jsonpath, FUNCTION = pg_catalog.jsonb_path_match_opr,
    RESTRICT = matchingsel
);

ALTER TYPE knowledge.item_filter
    DROP ATTRIBUTE metadata,
    DROP ATTRIBUTE nested,
    -- What the index on metadata finds, and what is left to be checked on rows.
    ADD ATTRIBUTE metadata jsonpath,
    ADD ATTRIBUTE metadata_rest jsonpath;

-- A filter as callers send it, with the readings that are hidden now.
CREATE OR REPLACE FUNCTION knowledge.parsed_filter(filter jsonb) RETURNS knowledge.item_filter
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
DECLARE
    parsed knowledge.item_filter := jsonb_populate_record(NULL::knowledge.item_filter, filter);
BEGIN
    parsed.hidden_readings := ARRAY(SELECT h.reading FROM knowledge.hidden_readings h);
    RETURN parsed;
END $$;

-- Whether an item is there and fits. Without a search path of its own, so that the planner
-- writes it out in the query and uses indexes for what is left of it.
CREATE OR REPLACE FUNCTION knowledge.fits(
    item knowledge.knowledge_items, filter knowledge.item_filter
) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (item).deleted_at IS NULL
       AND ((filter).namespaces IS NULL OR (item).namespace = ANY ((filter).namespaces))
       AND ((filter).subject_ids IS NULL OR (item).subject_id = ANY ((filter).subject_ids))
       AND ((filter).group_id IS NULL OR (item).group_id = (filter).group_id)
       AND ((filter).session_id IS NULL OR (item).session_id = (filter).session_id)
       AND ((filter).platform IS NULL OR (item).platform = (filter).platform)
       AND ((filter).occurred_from IS NULL OR (item).occurred_at >= (filter).occurred_from)
       AND ((filter).occurred_to IS NULL OR (item).occurred_at < (filter).occurred_to)
       AND ((filter).document_id IS NULL OR (item).document_id = (filter).document_id)
       AND ((item).reading IS NULL OR (item).reading <> ALL ((filter).hidden_readings))
       AND ((filter).metadata IS NULL OR (item).metadata @@ (filter).metadata)
       AND ((filter).metadata_rest IS NULL
            OR (item).metadata OPERATOR(knowledge.@@) (filter).metadata_rest)
$$;

DROP FUNCTION knowledge.has_equal(jsonb, jsonb);

-- The ids of items that fit, in order, from behind `after` on.
CREATE FUNCTION knowledge.fitting_ids(filter jsonb, after text, most integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(fitting_ids.filter);
    start uuid := coalesce(fitting_ids.after, '00000000-0000-0000-0000-000000000000')::uuid;
BEGIN
    RETURN to_jsonb(ARRAY(
        SELECT i.knowledge_id FROM knowledge.knowledge_items i
        WHERE knowledge.fits(i, chosen) AND i.knowledge_id > start
        ORDER BY i.knowledge_id LIMIT fitting_ids.most));
END $$;
