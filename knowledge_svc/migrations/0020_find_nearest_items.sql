-- Searches by meaning, where the vectors stand beside the items, in one call.

-- The nearest in a space, if that is the one which serves: {"serving", "matches", "items"}. Matches
-- are as `nearest_vectors` answers them, items those of theirs that are there and fit, null without
-- a filter. `narrow` is the part of the filter that vectors tell. Where another space serves, only
-- its name is answered: vectors of two models cannot be compared.
CREATE FUNCTION knowledge.nearest_items(
    space text, query jsonb, most integer, narrow jsonb, filter jsonb, ids text[] DEFAULT NULL,
    most_of_many integer DEFAULT NULL
) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    serving text := (SELECT s.space FROM knowledge.spaces s WHERE s.state = 'serving');
    matches jsonb;
    items json;
BEGIN
    IF serving <> nearest_items.space THEN
        RETURN json_build_object('serving', serving);
    END IF;
    matches := knowledge.nearest_vectors(
        nearest_items.space, nearest_items.query, nearest_items.most, nearest_items.narrow,
        nearest_items.ids, nearest_items.most_of_many);
    IF nearest_items.filter IS NOT NULL THEN
        items := knowledge.read_items(
            ARRAY(SELECT m ->> 0 FROM jsonb_array_elements(matches) m), nearest_items.filter);
    END IF;
    RETURN json_build_object('serving', serving, 'matches', matches, 'items', items);
END $$;
