-- Spaces are loaded first and indexed when there is enough to index; large searches look further.

-- Makes the table of a space unless it is there. Its HNSW index comes when it pays: until then
-- every vector is compared, which misses none and, up to 10,000, is as quick.
CREATE OR REPLACE FUNCTION knowledge.create_vectors(space text, dimension integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = 'extensions' AS $$
DECLARE
    name text := 'vectors_' || create_vectors.space;
BEGIN
    IF to_regclass(format('knowledge.%I', name)) IS NOT NULL THEN
        RETURN 'null';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('knowledge.create_vectors', 0));
    EXECUTE format(
        'CREATE TABLE IF NOT EXISTS knowledge.%1$I (
             knowledge_id uuid PRIMARY KEY,
             occurred_at timestamptz NOT NULL,
             subject_id uuid, group_id uuid, session_id uuid,
             namespace text COLLATE "C" NOT NULL,
             embedding vector(%2$s) NOT NULL
         );
         ALTER TABLE knowledge.%1$I ENABLE ROW LEVEL SECURITY;
         CREATE INDEX IF NOT EXISTS %3$I ON knowledge.%1$I (subject_id) WHERE subject_id IS NOT NULL;
         CREATE INDEX IF NOT EXISTS %4$I ON knowledge.%1$I (group_id) WHERE group_id IS NOT NULL;
         CREATE INDEX IF NOT EXISTS %5$I ON knowledge.%1$I (session_id) WHERE session_id IS NOT NULL;
         CREATE INDEX IF NOT EXISTS %6$I ON knowledge.%1$I (namespace)',
        name, create_vectors.dimension, name || '_subject', name || '_group',
        name || '_session', name || '_names');
    RETURN 'null';
END $$;

-- Builds the HNSW index of a space that has 10,000 vectors and none. Called before the transaction
-- has written anything there, so that two who want it at once wait for one another and never for
-- each other's writes. Searches go on meanwhile, writes wait some seconds, once.
CREATE FUNCTION knowledge.index_vectors(space text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = 'extensions' SET maintenance_work_mem = '256MB' AS $$
DECLARE
    name text := 'vectors_' || index_vectors.space;
    vectors integer;
BEGIN
    IF to_regclass(format('knowledge.%I', name || '_near')) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT count(*) FROM (SELECT FROM knowledge.%I LIMIT 10000) v', name)
    INTO vectors;
    IF vectors = 10000 THEN
        EXECUTE format('LOCK TABLE knowledge.%I IN SHARE ROW EXCLUSIVE MODE', name);
        EXECUTE format(
            'CREATE INDEX IF NOT EXISTS %I ON knowledge.%I USING hnsw (embedding vector_cosine_ops)',
            name || '_near', name);
    END IF;
END $$;

-- Adds vectors, [{"knowledge_id", "values", "namespace", "subject_id", …}], or replaces them.
CREATE OR REPLACE FUNCTION knowledge.upsert_vectors(space text, vectors jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = 'extensions' AS $$
BEGIN
    PERFORM knowledge.index_vectors(upsert_vectors.space);
    EXECUTE format(
        'INSERT INTO knowledge.%I (knowledge_id, occurred_at, subject_id, group_id, session_id,
                                   namespace, embedding)
         SELECT v.knowledge_id, v.occurred_at, v.subject_id, v.group_id, v.session_id,
                v.namespace, v."values"::text::vector
         FROM jsonb_to_recordset($1) v (
             knowledge_id uuid, occurred_at timestamptz, subject_id uuid, group_id uuid,
             session_id uuid, namespace text, "values" jsonb)
         ORDER BY v.knowledge_id
         ON CONFLICT (knowledge_id) DO UPDATE
         SET occurred_at = excluded.occurred_at, subject_id = excluded.subject_id,
             group_id = excluded.group_id, session_id = excluded.session_id,
             namespace = excluded.namespace, embedding = excluded.embedding',
        'vectors_' || upsert_vectors.space) USING upsert_vectors.vectors;
    RETURN 'null';
END $$;

-- How many rows the planner expects. VOLATILE, or Postgres would not explain.
CREATE FUNCTION knowledge.estimated_vectors(source text, chosen knowledge.item_filter)
RETURNS float8 LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) SELECT FROM ' || source INTO plan USING estimated_vectors.chosen;
    RETURN (plan #>> '{0,Plan,Plan Rows}')::float8;
END $$;

-- The nearest by cosine, [[knowledge_id, similarity]], best first, among those that `narrow`
-- leaves (the keys of an item filter that a vector has). Up to 10,000 vectors are compared one
-- by one; more are found through the HNSW index, and one by one if that falls short.
CREATE OR REPLACE FUNCTION knowledge.nearest_vectors(
    space text, query jsonb, most integer, narrow jsonb, ids text[] DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = 'extensions' AS $$
DECLARE
    name text := 'vectors_' || nearest_vectors.space;
    chosen knowledge.item_filter := knowledge.parsed_filter(nearest_vectors.narrow);
    wanted uuid[] := nearest_vectors.ids::uuid[];
    point vector := nearest_vectors.query::text::vector;
    -- Only the conditions that there are, so that each search is planned for what it asks.
    conditions text := concat_ws(' AND ', 'true',
        CASE WHEN chosen.namespaces IS NOT NULL THEN 'v.namespace = ANY ($1.namespaces)' END,
        CASE WHEN chosen.subject_ids IS NOT NULL THEN 'v.subject_id = ANY ($1.subject_ids)' END,
        CASE WHEN chosen.group_id IS NOT NULL THEN 'v.group_id = $1.group_id' END,
        CASE WHEN chosen.session_id IS NOT NULL THEN 'v.session_id = $1.session_id' END,
        CASE WHEN chosen.occurred_from IS NOT NULL THEN 'v.occurred_at >= $1.occurred_from' END,
        CASE WHEN chosen.occurred_to IS NOT NULL THEN 'v.occurred_at < $1.occurred_to' END,
        CASE WHEN wanted IS NOT NULL THEN 'v.knowledge_id = ANY ($4)' END);
    source text := format('knowledge.%I v WHERE %s', name, conditions);
    collected text := 'SELECT coalesce(jsonb_agg(jsonb_build_array(m.knowledge_id, m.similarity)),'
        ' ''[]'') FROM (%s) m';
    vectors float8;
    found jsonb;
BEGIN
    IF wanted IS NULL AND to_regclass(format('knowledge.%I', name || '_near')) IS NOT NULL THEN
        vectors := knowledge.estimated_vectors(source, chosen);
        -- Counting takes as long as comparing: only where it is not plain that they are many.
        IF vectors < 40000 THEN
            EXECUTE 'SELECT count(*) FROM (SELECT FROM ' || source || ' LIMIT 10001) s'
            INTO vectors USING chosen, point, most, wanted;
        END IF;
        IF vectors > 10000 THEN
            PERFORM set_config('hnsw.iterative_scan', 'relaxed_order', true),
                    set_config('hnsw.max_scan_tuples', '50000', true),
                    set_config('hnsw.ef_search', least(greatest(most, 200), 1000)::text, true);
            EXECUTE format(collected,
                'SELECT n.* FROM (SELECT v.knowledge_id, 1 - (v.embedding <=> $2) AS similarity '
                'FROM ' || source || ' ORDER BY v.embedding <=> $2 LIMIT $3) n ORDER BY 2 DESC, 1')
            INTO found USING chosen, point, most, wanted;
            IF jsonb_array_length(found) = most THEN
                RETURN found;
            END IF;
        END IF;
    END IF;
    -- OFFSET 0 keeps the planner from taking the HNSW index, which could miss some.
    EXECUTE format(collected,
        'SELECT v.knowledge_id, 1 - (v.embedding <=> $2) AS similarity '
        'FROM (SELECT v.knowledge_id, v.embedding FROM ' || source || ' OFFSET 0) v '
        'ORDER BY 2 DESC, 1 LIMIT $3')
    INTO found USING chosen, point, most, wanted;
    RETURN found;
END $$;
