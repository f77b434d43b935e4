-- Keyword search: BM25 over the terms that the service makes of content and query.

-- For each of the wanted terms, by place, which of the items that fit have it.
-- In a small scope those are all; in a large one at most 1,000 a term.
CREATE FUNCTION knowledge.word_occurrences(
    wanted text[], chosen knowledge.item_filter, is_small boolean
) RETURNS TABLE (place bigint, ids uuid[])
LANGUAGE plpgsql STABLE
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' SET enable_seqscan = 'off' AS $$
#variable_conflict use_column
BEGIN
    IF word_occurrences.is_small THEN
        -- OFFSET 0 keeps the planner from reading the whole index of terms for a few items.
        RETURN QUERY
            SELECT w.place, array_agg(s.knowledge_id)
            FROM (SELECT i.knowledge_id, i.terms FROM knowledge.knowledge_items i
                  WHERE knowledge.fits(i, word_occurrences.chosen) OFFSET 0) s
            CROSS JOIN unnest(word_occurrences.wanted) WITH ORDINALITY w (term, place)
            WHERE s.terms && word_occurrences.wanted
              AND array_position(s.terms, w.term) IS NOT NULL
            GROUP BY w.place;
    ELSE
        RETURN QUERY
            SELECT w.place, ARRAY(
                SELECT i.knowledge_id FROM knowledge.knowledge_items i
                WHERE knowledge.fits(i, word_occurrences.chosen) AND i.terms @> ARRAY[w.term]
                LIMIT 1000)
            FROM unnest(word_occurrences.wanted) WITH ORDINALITY w (term, place);
    END IF;
END $$;

-- How many items the planner believes to fit and to have a term; of all items where it is null.
CREATE FUNCTION knowledge.estimated_items(chosen knowledge.item_filter, term text)
RETURNS float8 LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) SELECT FROM knowledge.knowledge_items i '
            'WHERE knowledge.fits(i, $1) AND ($2 IS NULL OR i.terms @> ARRAY[$2])'
    INTO plan USING estimated_items.chosen, estimated_items.term;
    RETURN (plan #>> '{0,Plan,Plan Rows}')::float8;
END $$;

-- The BM25 of items; `weights` is {"average": words of an item, "terms": {term: weight}}.
-- Items with none of the terms are left out.
CREATE FUNCTION knowledge.word_scores(ids uuid[], weights jsonb)
RETURNS TABLE (knowledge_id uuid, score float8)
LANGUAGE plpgsql STABLE
-- With the ids before its eyes the planner takes longer to plan than the query takes.
SET search_path = '' SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
DECLARE
    k1 CONSTANT float8 := 1.2;
    b CONSTANT float8 := 0.75;
    average float8 := weights -> 'average';
    wanted text[];
    idfs float8[];
BEGIN
    SELECT array_agg(t.key), array_agg(t.value::float8) INTO wanted, idfs
    FROM jsonb_each(word_scores.weights -> 'terms') t;
    RETURN QUERY
        SELECT i.knowledge_id,
               sum(w.idf * f.n * (k1 + 1) / (f.n + k1 * (1 - b + b * i.term_total / average)))
        FROM knowledge.knowledge_items i
        CROSS JOIN unnest(wanted, idfs) w (term, idf)
        CROSS JOIN LATERAL (
            SELECT i.term_counts[array_position(i.terms, w.term)]::float8 AS n
        ) f
        WHERE i.knowledge_id = ANY (word_scores.ids) AND f.n IS NOT NULL
        GROUP BY i.knowledge_id;
END $$;

-- The best items by words: {"hits": [[knowledge_id, score]], "weights"}.
-- Exact where up to 3,000 items fit. Beyond, numbers come from the planner's statistics where
-- counting would take long, and terms that are everywhere only rank what rarer ones find.
CREATE FUNCTION knowledge.search_words(terms text[], filter jsonb, most integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(search_words.filter);
    wanted text[] := search_words.terms;
    is_small boolean;
    in_scope float8;
    average float8;
    weights jsonb;
    candidates uuid[];
    common text[];
BEGIN
    SELECT count(*), coalesce(nullif(avg(s.term_total), 0), 1) INTO in_scope, average
    FROM (SELECT i.term_total FROM knowledge.knowledge_items i
          WHERE knowledge.fits(i, chosen) LIMIT 3001) s;
    is_small := in_scope <= 3000;
    IF NOT is_small THEN
        in_scope := greatest(in_scope, knowledge.estimated_items(chosen, NULL));
    END IF;

    WITH frequency AS MATERIALIZED (
        SELECT wanted[o.place] AS term, o.ids, cardinality(o.ids) AS found,
               CASE WHEN is_small OR cardinality(o.ids) < 1000 THEN cardinality(o.ids)
                    ELSE greatest(1000, knowledge.estimated_items(chosen, wanted[o.place]))
               END AS holding
        FROM knowledge.word_occurrences(wanted, chosen, is_small) o
        WHERE cardinality(o.ids) > 0
    ), candidate AS (
        SELECT unnest(f.ids) AS knowledge_id FROM frequency f ORDER BY f.holding, f.term
        LIMIT CASE WHEN is_small THEN NULL ELSE greatest(500, 4 * search_words.most) END
    )
    SELECT (SELECT jsonb_build_object('average', average, 'terms', jsonb_object_agg(
                f.term, ln(1 + (greatest(in_scope, f.holding) - f.holding + 0.5)
                               / (f.holding + 0.5))))
            FROM frequency f),
           ARRAY(SELECT DISTINCT c.knowledge_id FROM candidate c),
           ARRAY(SELECT f.term FROM frequency f WHERE NOT is_small AND f.found >= 1000)
    INTO weights, candidates, common;

    IF cardinality(candidates) = 0 THEN
        RETURN '{"hits": [], "weights": null}';
    END IF;
    IF cardinality(common) > 1 THEN
        -- Of the many items with one of them, those with all of them are sure to be looked at.
        candidates := candidates || ARRAY(
            SELECT i.knowledge_id FROM knowledge.knowledge_items i
            WHERE knowledge.fits(i, chosen) AND i.terms OPERATOR(pg_catalog.@>) common LIMIT 500);
    END IF;

    RETURN jsonb_build_object('weights', weights, 'hits', (
        SELECT coalesce(jsonb_agg(jsonb_build_array(h.knowledge_id, h.score)
                        ORDER BY h.score DESC, h.knowledge_id), '[]')
        FROM (SELECT s.knowledge_id, s.score
              FROM knowledge.word_scores(candidates, weights) s
              ORDER BY s.score DESC, s.knowledge_id LIMIT search_words.most) h));
END $$;

-- Those of the ids that are there and fit: {"item", "keyword": BM25 or null}, in no order.
-- `weights` as `search_words` answers them; null where words were not asked for.
CREATE FUNCTION knowledge.read_candidates(ids text[], filter jsonb, weights jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(read_candidates.filter);
    wanted uuid[] := read_candidates.ids::uuid[];
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'item', knowledge.rendered(i, s), 'keyword', w.score)), '[]')
        FROM knowledge.knowledge_items i
        JOIN knowledge.index_states s USING (knowledge_id)
        LEFT JOIN knowledge.word_scores(wanted, read_candidates.weights) w USING (knowledge_id)
        WHERE i.knowledge_id = ANY (wanted) AND knowledge.fits(i, chosen));
END $$;

-- The ids of all items that fit, or null where they are more than `most`.
CREATE FUNCTION knowledge.matching_ids(filter jsonb, most integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(matching_ids.filter);
    ids uuid[] := ARRAY(
        SELECT i.knowledge_id FROM knowledge.knowledge_items i
        WHERE knowledge.fits(i, chosen) LIMIT matching_ids.most + 1);
BEGIN
    RETURN CASE WHEN cardinality(ids) <= matching_ids.most THEN to_jsonb(ids) END;
END $$;
