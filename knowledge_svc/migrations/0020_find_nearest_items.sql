-- Searches by meaning, where the vectors stand beside the items, in one call.

-- The nearest as `nearest_vectors` answers them, and those of their items that are there and fit:
-- {"matches", "items"}. `narrow` is the part of the filter that vectors tell.
CREATE FUNCTION knowledge.nearest_items(
    space text, query jsonb, most integer, narrow jsonb, filter jsonb, ids text[] DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    matches jsonb := knowledge.nearest_vectors(
        nearest_items.space, nearest_items.query, nearest_items.most, nearest_items.narrow,
        nearest_items.ids);
BEGIN
    RETURN jsonb_build_object(
        'matches', matches,
        'items', knowledge.read_items(
            ARRAY(SELECT m ->> 0 FROM jsonb_array_elements(matches) m), nearest_items.filter));
END $$;
