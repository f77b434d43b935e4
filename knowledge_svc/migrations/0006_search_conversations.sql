-- Search over conversations: a word counts once, whichever of its forms is there; words of kin
-- meaning count in part; and what stands around an item in its conversation lends it a share.

-- The order in which things were said in one conversation. Times may be equal, and ids tell
-- nothing; the log's positions do, and where there is no log the order of storing.
CREATE INDEX knowledge_items_in_conversation ON knowledge.knowledge_items
    (session_id, occurred_at, (coalesce(source_position, 0)), revision)
    WHERE session_id IS NOT NULL;

DROP FUNCTION knowledge.search_words(text[], jsonb, integer);
DROP FUNCTION knowledge.read_candidates(text[], jsonb, jsonb);
DROP FUNCTION knowledge.word_scores(uuid[], jsonb);
DROP FUNCTION knowledge.word_occurrences(text[], knowledge.item_filter, boolean);

-- The ids of the items that fit, where they are at most 3,000; else null.
CREATE FUNCTION knowledge.small_scope(chosen knowledge.item_filter) RETURNS uuid[]
LANGUAGE plpgsql STABLE SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
DECLARE
    ids uuid[] := ARRAY(
        SELECT i.knowledge_id FROM knowledge.knowledge_items i
        WHERE knowledge.fits(i, small_scope.chosen) LIMIT 3001);
BEGIN
    RETURN CASE WHEN cardinality(ids) <= 3000 THEN ids END;
END $$;

-- Every term of the items that fit, where these are at most 3,000; else null.
CREATE FUNCTION knowledge.scope_terms(filter jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_generic_plan' AS $$
DECLARE
    ids uuid[] := knowledge.small_scope(knowledge.parsed_filter(scope_terms.filter));
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(t.term), '[]')
        FROM (SELECT DISTINCT unnest(i.terms) AS term
              FROM knowledge.knowledge_items i WHERE i.knowledge_id = ANY (ids)) t
        WHERE ids IS NOT NULL
        HAVING ids IS NOT NULL);
END $$;

-- The words of a query, as rows: `words` is [{form: share}], a share of 1 marking the word itself.
CREATE FUNCTION knowledge.word_forms(words jsonb)
RETURNS TABLE (word integer, term text, share float8)
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT w.place::integer, f.key, f.value::float8
    FROM jsonb_array_elements(word_forms.words) WITH ORDINALITY w (forms, place)
    CROSS JOIN jsonb_each(w.forms) f
$$;

-- How much each word counts for in each item, 0 to 2.2: BM25 without the weight of the word. Of
-- several forms in one item, the one that counts most does.
CREATE FUNCTION knowledge.word_worths(ids uuid[], words jsonb, average float8)
RETURNS TABLE (knowledge_id uuid, word integer, worth float8, share float8)
LANGUAGE plpgsql STABLE
-- With the ids before its eyes the planner takes longer to plan than the query takes.
SET search_path = '' SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
DECLARE
    k1 CONSTANT float8 := 1.2;
    b CONSTANT float8 := 0.4;  -- Short messages are no better for being short.
BEGIN
    RETURN QUERY
        SELECT t.knowledge_id, f.word,
               max(f.share * t.n * (k1 + 1)
                   / (t.n + k1 * (1 - b + b * t.term_total / word_worths.average))),
               max(f.share)
        FROM (SELECT i.knowledge_id, i.term_total, u.term, u.n
              FROM knowledge.knowledge_items i
              CROSS JOIN LATERAL unnest(i.terms, i.term_counts) u (term, n)
              WHERE i.knowledge_id = ANY (word_worths.ids)) t
        JOIN knowledge.word_forms(word_worths.words) f ON f.term = t.term
        GROUP BY t.knowledge_id, f.word;
END $$;

-- BM25 of the items, by the weights that a word search has found: {"average", "words", "idfs"}.
-- Items with none of the words are left out.
CREATE FUNCTION knowledge.word_scores(ids uuid[], weights jsonb)
RETURNS TABLE (knowledge_id uuid, score float8)
LANGUAGE plpgsql STABLE SET search_path = '' SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT w.knowledge_id, sum(w.worth * (weights -> 'idfs' -> (w.word - 1))::float8)
        FROM knowledge.word_worths(
            word_scores.ids, weights -> 'words', (weights -> 'average')::float8) w
        GROUP BY w.knowledge_id;
END $$;

CREATE FUNCTION knowledge.idf(items float8, holding float8) RETURNS float8
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT ln(1 + (greatest(items, holding) - holding + 0.5) / (holding + 0.5))
$$;

-- Among few items everything is counted: {"hits": [[knowledge_id, score]], "weights"}.
CREATE FUNCTION knowledge.find_in_few(ids uuid[], words jsonb, most integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = '' SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
DECLARE
    average float8 := (
        SELECT coalesce(nullif(avg(i.term_total), 0), 1)
        FROM knowledge.knowledge_items i WHERE i.knowledge_id = ANY (find_in_few.ids));
    idfs jsonb;
    hits jsonb;
BEGIN
    WITH worth AS MATERIALIZED (
        SELECT * FROM knowledge.word_worths(find_in_few.ids, find_in_few.words, average)
    ), weight AS MATERIALIZED (
        SELECT w.word, knowledge.idf(cardinality(find_in_few.ids), CASE
                   WHEN bool_or(w.share = 1) THEN count(*) FILTER (WHERE w.share = 1)
                   -- Nobody has the word itself: it is as common as its kin, each in part.
                   ELSE greatest(1, round(sum(w.share))) END) AS idf
        FROM worth w GROUP BY w.word
    ), hit AS (
        SELECT w.knowledge_id, sum(w.worth * v.idf) AS score
        FROM worth w JOIN weight v USING (word)
        GROUP BY w.knowledge_id ORDER BY score DESC, w.knowledge_id LIMIT find_in_few.most
    )
    SELECT (SELECT jsonb_agg(coalesce(v.idf, 0) ORDER BY n)
            FROM generate_series(1, jsonb_array_length(find_in_few.words)) n
            LEFT JOIN weight v ON v.word = n),
           (SELECT jsonb_agg(jsonb_build_array(h.knowledge_id, h.score)
                             ORDER BY h.score DESC, h.knowledge_id) FROM hit h)
    INTO idfs, hits;
    RETURN jsonb_build_object('hits', coalesce(hits, '[]'), 'weights', CASE
        WHEN hits IS NOT NULL THEN jsonb_build_object(
            'average', average, 'words', find_in_few.words, 'idfs', idfs) END);
END $$;

-- Among many items the words alone count, not their kin, and numbers come from the planner's
-- statistics where counting would take long: of each word at most 1,000 items are looked up, the
-- rarest words choose the candidates, and all words rank them.
CREATE FUNCTION knowledge.find_in_many(chosen knowledge.item_filter, words jsonb, most integer)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' SET enable_seqscan = 'off' AS $$
#variable_conflict use_column
DECLARE
    average float8 := (
        SELECT coalesce(nullif(avg(s.term_total), 0), 1)
        FROM (SELECT i.term_total FROM knowledge.knowledge_items i
              WHERE knowledge.fits(i, find_in_many.chosen) LIMIT 3001) s);
    items float8 := greatest(3001, knowledge.estimated_items(chosen, NULL));
    weights jsonb;
    candidates uuid[];
    common text[];
BEGIN
    WITH occurrence AS MATERIALIZED (
        SELECT f.word, f.term, ARRAY(
                   SELECT i.knowledge_id FROM knowledge.knowledge_items i
                   WHERE knowledge.fits(i, find_in_many.chosen) AND i.terms @> ARRAY[f.term]
                   LIMIT 1000) AS ids
        FROM knowledge.word_forms(find_in_many.words) f WHERE f.share = 1
    ), frequency AS MATERIALIZED (
        SELECT o.*, CASE WHEN cardinality(o.ids) < 1000 THEN cardinality(o.ids)
                         ELSE greatest(1000, knowledge.estimated_items(chosen, o.term))
                    END AS holding
        FROM occurrence o WHERE cardinality(o.ids) > 0
    ), candidate AS (
        SELECT unnest(f.ids) AS knowledge_id FROM frequency f ORDER BY f.holding, f.term
        LIMIT greatest(500, 4 * find_in_many.most)
    )
    SELECT jsonb_build_object(
               'average', average,
               'words', (SELECT jsonb_agg(coalesce(jsonb_build_object(f.term, 1), '{}') ORDER BY n)
                         FROM generate_series(1, jsonb_array_length(find_in_many.words)) n
                         LEFT JOIN frequency f ON f.word = n),
               'idfs', (SELECT jsonb_agg(coalesce(knowledge.idf(items, f.holding), 0) ORDER BY n)
                        FROM generate_series(1, jsonb_array_length(find_in_many.words)) n
                        LEFT JOIN frequency f ON f.word = n)),
           ARRAY(SELECT DISTINCT c.knowledge_id FROM candidate c),
           ARRAY(SELECT f.term FROM frequency f WHERE cardinality(f.ids) >= 1000)
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
        FROM (SELECT s.knowledge_id, s.score FROM knowledge.word_scores(candidates, weights) s
              ORDER BY s.score DESC, s.knowledge_id LIMIT find_in_many.most) h));
END $$;

-- The best items by words: {"hits": [[knowledge_id, score]], "weights"}; see `word_forms`.
CREATE FUNCTION knowledge.find_by_words(words jsonb, filter jsonb, most integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(find_by_words.filter);
    ids uuid[] := knowledge.small_scope(chosen);
BEGIN
    IF ids IS NOT NULL THEN
        RETURN knowledge.find_in_few(ids, find_by_words.words, find_by_words.most);
    END IF;
    RETURN knowledge.find_in_many(chosen, find_by_words.words, find_by_words.most);
END $$;

-- Those of the items that are there and fit, each with what fits beside it in its conversation, up
-- to `reach` on either side: [[knowledge_id, BM25 or null, [[knowledge_id, distance, BM25 or
-- null], ...]]], in no order. Distances before the item are negative.
CREATE FUNCTION knowledge.weigh_candidates(
    ids text[], filter jsonb, weights jsonb, reach integer
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_generic_plan' AS $$
#variable_conflict use_column
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(weigh_candidates.filter);
    found uuid[];
BEGIN
    found := ARRAY(
        SELECT i.knowledge_id FROM knowledge.knowledge_items i
        WHERE i.knowledge_id = ANY (weigh_candidates.ids::uuid[]) AND knowledge.fits(i, chosen));
    RETURN (
        WITH neighbour AS MATERIALIZED (
            SELECT c.knowledge_id, n.knowledge_id AS other, n.distance
            FROM knowledge.knowledge_items c
            CROSS JOIN LATERAL (
                SELECT a.knowledge_id, row_number() OVER (ORDER BY a.occurred_at, a.position,
                                                          a.revision) AS distance
                FROM (SELECT i.knowledge_id, i.occurred_at, i.revision,
                             coalesce(i.source_position, 0) AS position
                      FROM knowledge.knowledge_items i
                      WHERE i.session_id = c.session_id AND knowledge.fits(i, chosen)
                        AND (i.occurred_at, coalesce(i.source_position, 0), i.revision)
                            > (c.occurred_at, coalesce(c.source_position, 0), c.revision)
                      ORDER BY i.occurred_at, coalesce(i.source_position, 0), i.revision
                      LIMIT weigh_candidates.reach) a
                UNION ALL
                SELECT b.knowledge_id, -row_number() OVER (ORDER BY b.occurred_at DESC,
                                                           b.position DESC, b.revision DESC)
                FROM (SELECT i.knowledge_id, i.occurred_at, i.revision,
                             coalesce(i.source_position, 0) AS position
                      FROM knowledge.knowledge_items i
                      WHERE i.session_id = c.session_id AND knowledge.fits(i, chosen)
                        AND (i.occurred_at, coalesce(i.source_position, 0), i.revision)
                            < (c.occurred_at, coalesce(c.source_position, 0), c.revision)
                      ORDER BY i.occurred_at DESC, coalesce(i.source_position, 0) DESC,
                               i.revision DESC
                      LIMIT weigh_candidates.reach) b
            ) n
            WHERE c.knowledge_id = ANY (found) AND c.session_id IS NOT NULL
              AND weigh_candidates.reach > 0
        ), score AS MATERIALIZED (
            SELECT * FROM knowledge.word_scores(
                found || ARRAY(SELECT DISTINCT n.other FROM neighbour n), weights)
        ), conversation AS (
            SELECT n.knowledge_id, jsonb_agg(jsonb_build_array(n.other, n.distance, s.score)
                                             ORDER BY n.distance) AS beside
            FROM neighbour n LEFT JOIN score s ON s.knowledge_id = n.other
            GROUP BY n.knowledge_id
        )
        SELECT coalesce(jsonb_agg(jsonb_build_array(
                   f.id, s.score, coalesce(c.beside, '[]'))), '[]')
        FROM unnest(found) f (id)
        LEFT JOIN score s ON s.knowledge_id = f.id
        LEFT JOIN conversation c ON c.knowledge_id = f.id);
END $$;

-- Those of the items that are there, in no order.
CREATE FUNCTION knowledge.read_items(ids text[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(knowledge.rendered(i, s)), '[]')
    FROM knowledge.knowledge_items i JOIN knowledge.index_states s USING (knowledge_id)
    WHERE i.knowledge_id = ANY (read_items.ids::uuid[]) AND i.deleted_at IS NULL
$$;
