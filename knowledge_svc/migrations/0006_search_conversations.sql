-- Search that reads conversations. The service ranks; what it has to know of an item for that
-- (a passage) it keeps, by the write that the item is of, so that a search reads mostly numbers.

-- The order in which things were said in one conversation. Times may be equal, and ids tell
-- nothing; the log's positions do, and where there is no log the order of storing.
CREATE INDEX knowledge_items_in_conversation ON knowledge.knowledge_items
    (session_id, occurred_at, (coalesce(source_position, 0)), revision)
    WHERE session_id IS NOT NULL;

DROP FUNCTION knowledge.search_words(text[], jsonb, integer);
DROP FUNCTION knowledge.read_candidates(text[], jsonb, jsonb);
DROP FUNCTION knowledge.word_scores(uuid[], jsonb);
DROP FUNCTION knowledge.word_occurrences(text[], knowledge.item_filter, boolean);

-- What ranking has to know of the items, column by column, each in the same order: revision,
-- knowledge_id, session_id, namespace, group_id, subject_id, seconds since 1970, position, is a
-- question, words in all, how many terms; then all terms of all items in one text, and all counts.
-- (Building JSON value by value, item by item, takes several times as long as reading the items.)
CREATE FUNCTION knowledge.passages(ids uuid[]) RETURNS jsonb
LANGUAGE plpgsql STABLE
-- With the ids before its eyes the planner takes longer to plan than the query takes.
SET search_path = '' SET plan_cache_mode = 'force_generic_plan' AS $$
BEGIN
    RETURN (
        SELECT CASE WHEN count(*) = 0 THEN '[]' ELSE jsonb_build_array(
            to_jsonb(array_agg(i.revision)), to_jsonb(array_agg(i.knowledge_id)),
            to_jsonb(array_agg(i.session_id)), to_jsonb(array_agg(i.namespace)),
            to_jsonb(array_agg(i.group_id)), to_jsonb(array_agg(i.subject_id)),
            to_jsonb(array_agg(extract(epoch FROM i.occurred_at)::float8)),
            to_jsonb(array_agg(coalesce(i.source_position, 0))),
            to_jsonb(array_agg(right(rtrim(i.content), 1) = ANY ('{?,？,؟}'))),
            to_jsonb(array_agg(i.term_total)), to_jsonb(array_agg(cardinality(i.terms))),
            to_jsonb(string_agg(array_to_string(i.terms, ' '), ' ') FILTER (WHERE i.terms <> '{}')),
            to_jsonb(string_agg(array_to_string(i.term_counts, ','), ',')
                     FILTER (WHERE i.terms <> '{}'))) END
        FROM unnest(passages.ids) u (knowledge_id)
        JOIN knowledge.knowledge_items i USING (knowledge_id));
END $$;

CREATE FUNCTION knowledge.idf(items float8, holding float8) RETURNS float8
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT ln(1 + (greatest(items, holding) - holding + 0.5) / (holding + 0.5))
$$;

-- BM25 of the items by {term: weight}; the service's numbers are those of `ranking.py`. Items with
-- none of the terms are left out.
CREATE FUNCTION knowledge.word_scores(ids uuid[], weights jsonb, average float8)
RETURNS TABLE (knowledge_id uuid, score float8)
LANGUAGE plpgsql STABLE
-- With the ids before its eyes the planner takes longer to plan than the query takes.
SET search_path = '' SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
DECLARE
    k1 CONSTANT float8 := 1.2;
    b CONSTANT float8 := 0.3;
    wanted text[];
    idfs float8[];
BEGIN
    SELECT array_agg(t.key), array_agg(t.value::float8) INTO wanted, idfs
    FROM jsonb_each(word_scores.weights) t;
    RETURN QUERY
        SELECT i.knowledge_id, sum(w.idf * f.n * (k1 + 1)
                                   / (f.n + k1 * (1 - b + b * i.term_total / word_scores.average)))
        FROM knowledge.knowledge_items i
        CROSS JOIN unnest(wanted, idfs) w (term, idf)
        CROSS JOIN LATERAL (
            SELECT i.term_counts[array_position(i.terms, w.term)]::float8 AS n
        ) f
        WHERE i.knowledge_id = ANY (word_scores.ids) AND f.n IS NOT NULL
        GROUP BY i.knowledge_id;
END $$;

-- Among many items numbers come from the planner's statistics where counting would take long: of
-- each word some hundred items are looked up, the rarest words choose the candidates, and all words
-- rank them: {"items", "average", "holding": {term: items with it}, "hits": [[id, score]]}.
CREATE FUNCTION knowledge.find_in_many(chosen knowledge.item_filter, words text[], most integer)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' SET enable_seqscan = 'off' AS $$
#variable_conflict use_column
DECLARE
    average float8 := (
        SELECT coalesce(nullif(avg(s.term_total), 0), 1)
        FROM (SELECT i.term_total FROM knowledge.knowledge_items i
              WHERE knowledge.fits(i, find_in_many.chosen) LIMIT 500) s);
    items float8 := greatest(3001, knowledge.estimated_items(chosen, NULL));
    enough integer := greatest(500, 4 * most);
    holding jsonb;
    weights jsonb;
    candidates uuid[];
    common text[];
BEGIN
    WITH occurrence AS MATERIALIZED (
        SELECT w.term, ARRAY(
                   SELECT i.knowledge_id FROM knowledge.knowledge_items i
                   WHERE knowledge.fits(i, find_in_many.chosen) AND i.terms @> ARRAY[w.term]
                   LIMIT enough) AS ids
        FROM unnest(find_in_many.words) w (term)
    ), frequency AS MATERIALIZED (
        SELECT o.*, CASE WHEN cardinality(o.ids) < enough THEN cardinality(o.ids)
                         ELSE greatest(enough, knowledge.estimated_items(chosen, o.term))
                    END AS holding
        FROM occurrence o WHERE cardinality(o.ids) > 0
    ), candidate AS (
        SELECT unnest(f.ids) AS knowledge_id FROM frequency f ORDER BY f.holding, f.term
        LIMIT enough
    )
    SELECT (SELECT jsonb_object_agg(f.term, f.holding) FROM frequency f),
           (SELECT jsonb_object_agg(f.term, knowledge.idf(items, f.holding)) FROM frequency f),
           ARRAY(SELECT DISTINCT c.knowledge_id FROM candidate c),
           ARRAY(SELECT f.term FROM frequency f WHERE cardinality(f.ids) >= enough)
    INTO holding, weights, candidates, common;

    IF cardinality(common) > 1 THEN
        -- Of the many items with one of them, those with all of them are sure to be looked at.
        candidates := candidates || ARRAY(
            SELECT i.knowledge_id FROM knowledge.knowledge_items i
            WHERE knowledge.fits(i, chosen) AND i.terms OPERATOR(pg_catalog.@>) common LIMIT 500);
    END IF;
    RETURN jsonb_build_object(
        'items', items, 'average', average, 'holding', coalesce(holding, '{}'), 'hits', (
            SELECT coalesce(jsonb_agg(jsonb_build_array(h.knowledge_id, h.score)
                            ORDER BY h.score DESC, h.knowledge_id), '[]')
            FROM (SELECT s.knowledge_id, s.score
                  FROM knowledge.word_scores(candidates, weights, average) s
                  ORDER BY s.score DESC, s.knowledge_id LIMIT find_in_many.most) h));
END $$;

-- Where at most 3,000 items fit, the writes that they are of: {"revisions"}. Else what
-- `find_in_many` finds.
CREATE FUNCTION knowledge.look_over(filter jsonb, words text[], most integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(look_over.filter);
    stored float8 := (SELECT c.reltuples FROM pg_catalog.pg_class c
                      WHERE c.oid = 'knowledge.knowledge_items'::regclass);
    revisions bigint[];
BEGIN
    -- Where it is plain that they are many, nobody counts them.
    IF stored < 12000 OR knowledge.estimated_items(chosen, NULL) < 12000 THEN
        revisions := ARRAY(
            SELECT i.revision FROM knowledge.knowledge_items i
            WHERE knowledge.fits(i, chosen) LIMIT 3001);
        IF cardinality(revisions) <= 3000 THEN
            RETURN jsonb_build_object('revisions', revisions);
        END IF;
    END IF;
    RETURN knowledge.find_in_many(chosen, look_over.words, look_over.most);
END $$;

-- The passages of those of the writes, an array of revisions, that are of items that fit.
CREATE FUNCTION knowledge.read_passages(filter jsonb, revisions jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(read_passages.filter);
    wanted bigint[] := ARRAY(
        SELECT r.revision::bigint FROM jsonb_array_elements(read_passages.revisions) r (revision));
BEGIN
    RETURN knowledge.passages(ARRAY(
        SELECT i.knowledge_id FROM knowledge.knowledge_items i
        WHERE knowledge.fits(i, chosen) AND i.revision = ANY (wanted)));
END $$;

-- Up to `reach` items that fit on either side of each item in its conversation. Distances before
-- the item are negative.
CREATE FUNCTION knowledge.beside(ids uuid[], chosen knowledge.item_filter, reach integer)
RETURNS TABLE (knowledge_id uuid, other uuid, distance bigint)
LANGUAGE plpgsql STABLE SET search_path = '' SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT c.knowledge_id, n.knowledge_id, n.distance
        FROM knowledge.knowledge_items c
        CROSS JOIN LATERAL (
            SELECT a.knowledge_id, a.distance
            FROM (SELECT i.knowledge_id, row_number() OVER (
                             ORDER BY i.occurred_at, coalesce(i.source_position, 0), i.revision
                         ) AS distance
                  FROM knowledge.knowledge_items i
                  WHERE i.session_id = c.session_id AND knowledge.fits(i, beside.chosen)
                    AND (i.occurred_at, coalesce(i.source_position, 0), i.revision)
                        > (c.occurred_at, coalesce(c.source_position, 0), c.revision)
                  LIMIT beside.reach) a
            UNION ALL
            SELECT b.knowledge_id, -b.distance
            FROM (SELECT i.knowledge_id, row_number() OVER (
                             ORDER BY i.occurred_at DESC, coalesce(i.source_position, 0) DESC,
                                      i.revision DESC
                         ) AS distance
                  FROM knowledge.knowledge_items i
                  WHERE i.session_id = c.session_id AND knowledge.fits(i, beside.chosen)
                    AND (i.occurred_at, coalesce(i.source_position, 0), i.revision)
                        < (c.occurred_at, coalesce(c.source_position, 0), c.revision)
                  LIMIT beside.reach) b
        ) n
        WHERE c.knowledge_id = ANY (beside.ids) AND c.session_id IS NOT NULL
          AND beside.reach > 0;
END $$;

-- The passages of those of the items that are there and fit, and of what stands beside them.
CREATE FUNCTION knowledge.read_surroundings(ids text[], filter jsonb, reach integer)
RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_generic_plan' AS $$
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(read_surroundings.filter);
    wanted uuid[] := read_surroundings.ids::uuid[];
BEGIN
    RETURN knowledge.passages(ARRAY(
        SELECT i.knowledge_id
        FROM unnest(wanted) u (knowledge_id) JOIN knowledge.knowledge_items i USING (knowledge_id)
        WHERE knowledge.fits(i, chosen)
        UNION
        SELECT b.other FROM knowledge.beside(wanted, chosen, read_surroundings.reach) b));
END $$;

-- Those of the items that are there and fit, in no order.
CREATE FUNCTION knowledge.read_items(ids text[], filter jsonb) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_generic_plan' AS $$
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(read_items.filter);
BEGIN
    RETURN (
        SELECT coalesce(json_agg(knowledge.rendered(i, s)), '[]')
        FROM knowledge.knowledge_items i JOIN knowledge.index_states s USING (knowledge_id)
        WHERE i.knowledge_id = ANY (read_items.ids::uuid[]) AND knowledge.fits(i, chosen));
END $$;

-- What stands beside each of the items in its conversation and fits, up to `reach` items on either
-- side: [[knowledge_id, distance, item], ...], in no order.
CREATE FUNCTION knowledge.read_beside(ids text[], filter jsonb, reach integer) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(read_beside.filter);
BEGIN
    RETURN (
        SELECT coalesce(json_agg(json_build_array(
                   b.knowledge_id, b.distance, knowledge.rendered(i, s))), '[]')
        FROM knowledge.beside(read_beside.ids::uuid[], chosen, read_beside.reach) b
        JOIN knowledge.knowledge_items i ON i.knowledge_id = b.other
        JOIN knowledge.index_states s ON s.knowledge_id = b.other);
END $$;
