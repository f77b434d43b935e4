-- Vectors that know what they were made of, and that cannot outlive their items. Spaces are loaded
-- first and indexed when there is enough to index; they can be dropped and counted.
-- ZK009: the space serves, so its vectors are not to be dropped; {"space"}.

-- `content_hash` is SHA-256 of the content in hex, `revision` the write that the vector is of; both
-- are null in vectors from before, and where the writer did not tell.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT c.relname FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'knowledge'::regnamespace AND c.relkind = 'r'
          AND starts_with(c.relname, 'vectors_')
        ORDER BY 1
    LOOP
        EXECUTE format('ALTER TABLE knowledge.%I ADD content_hash text, ADD revision bigint', name);
    END LOOP;
END $$;

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
             embedding vector(%2$s) NOT NULL,
             content_hash text,
             revision bigint
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

-- Builds the HNSW index of a space that has none and vectors enough. Called before the transaction
-- has written anything there, so that two who want it at once wait for one another and never for
-- each other's writes. Searches go on meanwhile, writes wait once. That has to end well within the
-- time that a call may take, or it would never: hence no more than 10,000 vectors, and fewer of
-- more dimensions. Of more than 2,000 dimensions pgvector has no such index.
CREATE FUNCTION knowledge.index_vectors(space text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = 'extensions' SET maintenance_work_mem = '256MB' AS $$
DECLARE
    name text := 'vectors_' || index_vectors.space;
    dimension integer;
    enough integer;
    vectors integer;
BEGIN
    IF to_regclass(format('knowledge.%I', name || '_near')) IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT a.atttypmod INTO dimension FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = to_regclass(format('knowledge.%I', name)) AND a.attname = 'embedding';
    IF dimension > 2000 THEN
        RETURN;
    END IF;
    enough := least(10000, 2560000 / dimension);
    EXECUTE format('SELECT count(*) FROM (SELECT FROM knowledge.%I LIMIT $1) v', name)
    INTO vectors USING enough;
    IF vectors = enough THEN
        EXECUTE format('LOCK TABLE knowledge.%I IN SHARE ROW EXCLUSIVE MODE', name);
        EXECUTE format(
            'CREATE INDEX IF NOT EXISTS %I ON knowledge.%I USING hnsw (embedding vector_cosine_ops)',
            name || '_near', name);
    END IF;
END $$;

-- Adds vectors, [{"knowledge_id", "values", "namespace", "subject_id", …}], or replaces them. Values
-- are an array of numbers, or quicker a text with one in it.
--
-- However late it comes, it leaves no vector that should not be there: none of an item that is
-- deleted, none of an older write than the item's or the vector's that is there. Deletions lock the
-- items first, too: one that began waits for the vectors and then removes them, one that is over
-- is seen here. Ids that were never an item's are nobody's business.
CREATE OR REPLACE FUNCTION knowledge.upsert_vectors(space text, vectors jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = 'extensions' AS $$
BEGIN
    PERFORM knowledge.index_vectors(upsert_vectors.space);
    PERFORM FROM knowledge.knowledge_items i
    WHERE i.knowledge_id = ANY (ARRAY(
        SELECT (v ->> 'knowledge_id')::uuid FROM jsonb_array_elements(upsert_vectors.vectors) v))
    ORDER BY i.knowledge_id FOR KEY SHARE;
    EXECUTE format(
        'INSERT INTO knowledge.%I AS held (
             knowledge_id, occurred_at, subject_id, group_id, session_id, namespace, embedding,
             content_hash, revision)
         SELECT v.knowledge_id, v.occurred_at, v.subject_id, v.group_id, v.session_id,
                v.namespace, v."values"::vector, v.content_hash, v.revision
         FROM jsonb_to_recordset($1) v (
             knowledge_id uuid, occurred_at timestamptz, subject_id uuid, group_id uuid,
             session_id uuid, namespace text, "values" text, content_hash text, revision bigint)
         WHERE NOT EXISTS (
                 SELECT FROM knowledge.deleted_ids d WHERE d.knowledge_id = v.knowledge_id)
           AND NOT EXISTS (
                 SELECT FROM knowledge.knowledge_items i
                 WHERE i.knowledge_id = v.knowledge_id
                   AND (i.deleted_at IS NOT NULL OR i.revision > v.revision))
         ORDER BY v.knowledge_id
         ON CONFLICT (knowledge_id) DO UPDATE
         SET occurred_at = excluded.occurred_at, subject_id = excluded.subject_id,
             group_id = excluded.group_id, session_id = excluded.session_id,
             namespace = excluded.namespace, embedding = excluded.embedding,
             content_hash = excluded.content_hash, revision = excluded.revision
         WHERE held.revision IS NULL OR excluded.revision IS NULL
            OR held.revision <= excluded.revision',
        'vectors_' || upsert_vectors.space) USING upsert_vectors.vectors;
    RETURN 'null';
END $$;

-- Removes vectors, after those that write them just now: they hold the items.
CREATE OR REPLACE FUNCTION knowledge.delete_vectors(space text, ids text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM FROM knowledge.knowledge_items i
    WHERE i.knowledge_id = ANY (delete_vectors.ids::uuid[])
    ORDER BY i.knowledge_id FOR UPDATE;
    EXECUTE format('DELETE FROM knowledge.%I WHERE knowledge_id = ANY ($1::uuid[])',
                   'vectors_' || delete_vectors.space) USING delete_vectors.ids;
    RETURN 'null';
END $$;

-- What is held of the ids beside the numbers.
CREATE FUNCTION knowledge.fetch_vectors(space text, ids text[]) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    found jsonb;
BEGIN
    EXECUTE format(
        'SELECT coalesce(jsonb_agg(jsonb_build_object(
             ''knowledge_id'', v.knowledge_id, ''namespace'', v.namespace,
             ''occurred_at'', v.occurred_at, ''subject_id'', v.subject_id,
             ''group_id'', v.group_id, ''session_id'', v.session_id,
             ''content_hash'', v.content_hash)), ''[]'')
         FROM knowledge.%I v WHERE v.knowledge_id = ANY ($1::uuid[])',
        'vectors_' || fetch_vectors.space) INTO found USING fetch_vectors.ids;
    RETURN found;
END $$;

-- Drops the table of a space that does not serve; one that is not there is fine.
CREATE FUNCTION knowledge.drop_vectors(space text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    -- Whoever makes it serve waits, and finds no vectors; or is waited for here.
    PERFORM FROM knowledge.spaces s WHERE s.space = drop_vectors.space FOR UPDATE;
    IF EXISTS (SELECT FROM knowledge.spaces s
               WHERE s.space = drop_vectors.space AND s.state = 'serving') THEN
        RAISE EXCEPTION 'the space serves' USING
            ERRCODE = 'ZK009', DETAIL = jsonb_build_object('space', drop_vectors.space);
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS knowledge.%I', 'vectors_' || drop_vectors.space);
    RETURN 'null';
END $$;

-- How many vectors a space has, counted.
CREATE FUNCTION knowledge.count_vectors(space text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    vectors bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM knowledge.%I', 'vectors_' || count_vectors.space)
    INTO vectors;
    RETURN to_jsonb(vectors);
END $$;

-- The nearest by cosine, [[knowledge_id, similarity]], best first, among those that `narrow`
-- leaves (the keys of an item filter that a vector has). Up to 10,000 vectors are compared one
-- by one; more are found through the HNSW index, `most_of_many` at most, and one by one if that
-- falls short. The query is an array of numbers, or quicker a text with one in it.
DROP FUNCTION knowledge.nearest_vectors(text, jsonb, integer, jsonb, text[]);
CREATE FUNCTION knowledge.nearest_vectors(
    space text, query jsonb, most integer, narrow jsonb, ids text[] DEFAULT NULL,
    most_of_many integer DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = 'extensions' AS $$
DECLARE
    name text := 'vectors_' || nearest_vectors.space;
    chosen knowledge.item_filter := knowledge.parsed_filter(nearest_vectors.narrow);
    wanted uuid[] := nearest_vectors.ids::uuid[];
    point vector := (nearest_vectors.query #>> '{}')::vector;
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
    by_index integer := least(most, most_of_many);
    vectors float8;
    found jsonb;
BEGIN
    IF wanted IS NULL AND to_regclass(format('knowledge.%I', name || '_near')) IS NOT NULL THEN
        -- Of all of them the planner's statistics tell without asking the planner.
        vectors := CASE conditions
            WHEN 'true' THEN (SELECT c.reltuples FROM pg_catalog.pg_class c
                              WHERE c.oid = format('knowledge.%I', name)::regclass)
            ELSE knowledge.estimated_vectors(source, chosen) END;
        -- Counting takes as long as comparing: only where it is not plain that they are many. Of one
        -- condition the planner knows well how many fit, of several together it guesses.
        IF vectors < (CASE WHEN conditions LIKE '% AND % AND %' THEN 40000 ELSE 15000 END) THEN
            EXECUTE 'SELECT count(*) FROM (SELECT FROM ' || source || ' LIMIT 10001) s'
            INTO vectors USING chosen, point, most, wanted;
        END IF;
        IF vectors > 10000 THEN
            PERFORM set_config('hnsw.iterative_scan', 'relaxed_order', true),
                    set_config('hnsw.max_scan_tuples', '50000', true),
                    set_config('hnsw.ef_search', least(greatest(by_index, 200), 1000)::text, true);
            EXECUTE format(collected,
                'SELECT n.* FROM (SELECT v.knowledge_id, 1 - (v.embedding <=> $2) AS similarity '
                'FROM ' || source || ' ORDER BY v.embedding <=> $2 LIMIT $3) n ORDER BY 2 DESC, 1')
            INTO found USING chosen, point, by_index, wanted;
            IF jsonb_array_length(found) = by_index THEN
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
