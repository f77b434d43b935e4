-- The vector index on pgvector. A space is a table of its own: it holds vectors of one model,
-- dimension and chunker, and columns to narrow a search by. Derived data: it can be rebuilt.

CREATE TABLE knowledge.spaces (
    space       text PRIMARY KEY CHECK (space ~ '^[a-z0-9_]{1,48}$'),
    model       text NOT NULL,
    dimension   integer NOT NULL,
    chunker     text NOT NULL,
    state       text NOT NULL CHECK (state IN ('building', 'serving', 'retired')),
    created_at  timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE knowledge.spaces ENABLE ROW LEVEL SECURITY;

CREATE UNIQUE INDEX spaces_one_serving ON knowledge.spaces (state) WHERE state = 'serving';

-- The serving space; where there is none yet, the one proposed.
CREATE FUNCTION knowledge.ensure_space(space text, model text, dimension integer, chunker text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO knowledge.spaces (space, model, dimension, chunker, state)
    SELECT ensure_space.space, ensure_space.model, ensure_space.dimension, ensure_space.chunker,
           'serving'
    WHERE NOT EXISTS (SELECT FROM knowledge.spaces s WHERE s.state = 'serving')
    ON CONFLICT DO NOTHING;
    RETURN (
        SELECT jsonb_build_object('name', s.space, 'model', s.model, 'dimension', s.dimension,
                                  'chunker', s.chunker)
        FROM knowledge.spaces s WHERE s.state = 'serving');
END $$;

-- Makes the table of a space unless it is there.
CREATE FUNCTION knowledge.create_vectors(space text, dimension integer) RETURNS jsonb
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
         CREATE INDEX IF NOT EXISTS %6$I ON knowledge.%1$I (namespace);
         CREATE INDEX IF NOT EXISTS %7$I ON knowledge.%1$I USING hnsw (embedding vector_cosine_ops)',
        name, create_vectors.dimension, name || '_subject', name || '_group',
        name || '_session', name || '_names', name || '_near');
    RETURN 'null';
END $$;

-- Adds vectors, [{"knowledge_id", "values", "namespace", "subject_id", …}], or replaces them.
CREATE FUNCTION knowledge.upsert_vectors(space text, vectors jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = 'extensions' AS $$
BEGIN
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

CREATE FUNCTION knowledge.delete_vectors(space text, ids text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    EXECUTE format('DELETE FROM knowledge.%I WHERE knowledge_id = ANY ($1::uuid[])',
                   'vectors_' || delete_vectors.space) USING delete_vectors.ids;
    RETURN 'null';
END $$;

-- The nearest by cosine, [[knowledge_id, similarity]], best first, among those that `narrow`
-- leaves (the keys of an item filter that a vector has). Up to 10,000 vectors are compared one
-- by one; more are found through the HNSW index, and one by one if that falls short.
CREATE FUNCTION knowledge.nearest_vectors(
    space text, query jsonb, most integer, narrow jsonb, ids text[] DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = 'extensions' AS $$
DECLARE
    source text := format(
        'knowledge.%I v WHERE ($1.namespaces IS NULL OR v.namespace = ANY ($1.namespaces))
           AND ($1.subject_ids IS NULL OR v.subject_id = ANY ($1.subject_ids))
           AND ($1.group_id IS NULL OR v.group_id = $1.group_id)
           AND ($1.session_id IS NULL OR v.session_id = $1.session_id)
           AND ($1.occurred_from IS NULL OR v.occurred_at >= $1.occurred_from)
           AND ($1.occurred_to IS NULL OR v.occurred_at < $1.occurred_to)
           AND ($4 IS NULL OR v.knowledge_id = ANY ($4))',
        'vectors_' || nearest_vectors.space);
    one_by_one text := 'SELECT v.knowledge_id, 1 - (v.embedding <=> $2) AS similarity FROM ('
        'SELECT v.knowledge_id, v.embedding FROM ' || source || ' OFFSET 0) v '
        'ORDER BY 2 DESC, 1 LIMIT $3';
    by_index text := 'SELECT n.* FROM (SELECT v.knowledge_id, '
        '1 - (v.embedding <=> $2) AS similarity FROM ' || source ||
        ' ORDER BY v.embedding <=> $2 LIMIT $3) n ORDER BY 2 DESC, 1';
    collected text := 'SELECT coalesce(jsonb_agg(jsonb_build_array(m.knowledge_id, m.similarity)),'
        ' ''[]'') FROM (%s) m';
    chosen knowledge.item_filter := knowledge.parsed_filter(nearest_vectors.narrow);
    wanted uuid[] := nearest_vectors.ids::uuid[];
    point vector := nearest_vectors.query::text::vector;
    vectors integer;
    found jsonb;
BEGIN
    EXECUTE 'SELECT count(*) FROM (SELECT FROM ' || source || ' LIMIT 10001) s'
    INTO vectors USING chosen, point, most, wanted;
    IF vectors > 10000 THEN
        PERFORM set_config('hnsw.iterative_scan', 'relaxed_order', true),
                set_config('hnsw.ef_search', least(greatest(most, 100), 1000)::text, true);
        EXECUTE format(collected, by_index) INTO found USING chosen, point, most, wanted;
        IF jsonb_array_length(found) = most THEN
            RETURN found;
        END IF;
    END IF;
    EXECUTE format(collected, one_by_one) INTO found USING chosen, point, most, wanted;
    RETURN found;
END $$;
