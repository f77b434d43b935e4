-- Memories: setting, forgetting, reading and counting. The item that searches find one by is written
-- with it, and goes with it by the queue of deletions.
-- A request about somebody who was erased is answered {"error": {"code": "ZK002", "subject_id"}}.

-- The call that wrote a version: a call that is repeated because its answer was lost finds its own.
ALTER TABLE knowledge.memory_versions ADD COLUMN request_id uuid;
-- The flush that last counted accesses, so that its repeat counts nothing.
ALTER TABLE knowledge.memories ADD COLUMN counted_by uuid;

-- Each order of a list is that of an index; by key it is the unique one's. All are ascending, so that
-- a page behind a place is one range of its index, however many are equal: for what comes with
-- the highest first the index has what is left to some bound.
CREATE INDEX memories_by_importance ON knowledge.memories (person_id, (-importance), memory_key);
CREATE INDEX memories_by_change ON knowledge.memories
    (person_id, (timestamptz '3000-01-01 00:00:00+00' - updated_at), memory_key);
CREATE INDEX memories_by_access ON knowledge.memories (
    person_id,
    (timestamptz '3000-01-01 00:00:00+00'
     - coalesce(last_accessed_at, timestamptz '1970-01-01 00:00:00+00')),
    memory_key);

-- Of people who are one, the one whose memory of the same key counts in place of this; else null.
CREATE FUNCTION knowledge.shadower(memory knowledge.memories, person_ids uuid[]) RETURNS uuid
LANGUAGE sql STABLE AS $$
    SELECT p.id
    FROM unnest(person_ids) WITH ORDINALITY p (id, place)
    JOIN knowledge.memories other
        ON other.person_id = p.id AND other.memory_key = (memory).memory_key
    WHERE p.place < array_position(person_ids, (memory).person_id)
    ORDER BY p.place LIMIT 1
$$;

CREATE FUNCTION knowledge.rendered_memory(memory knowledge.memories, person_ids uuid[])
RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'memory_id', (memory).memory_id, 'person_id', (memory).person_id,
        'key', (memory).memory_key, 'value', (memory).value, 'category', (memory).category,
        'importance', (memory).importance, 'metadata', (memory).metadata,
        'source_event_id', (memory).source_event_id, 'occurred_at', (memory).occurred_at,
        'created_at', (memory).created_at, 'updated_at', (memory).updated_at,
        'version', (memory).version, 'access_count', (memory).access_count,
        'last_accessed_at', (memory).last_accessed_at, 'knowledge_id', (memory).knowledge_id,
        'shadowed_by', CASE WHEN cardinality(person_ids) > 1
                            THEN knowledge.shadower(memory, person_ids) END)
$$;

-- Writers of equal memories go one after the other, also of such that are not there yet; behind
-- `hold_subjects`, before any row is locked.
CREATE FUNCTION knowledge.hold_memories(memory_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1802204022, b.bucket)
    FROM (
        SELECT DISTINCT hashtext(m.memory_id::text) & 1023 AS bucket
        FROM unnest(hold_memories.memory_ids) m (memory_id) ORDER BY bucket
    ) b;
    PERFORM FROM knowledge.memories m
    WHERE m.memory_id = ANY (hold_memories.memory_ids) ORDER BY m.memory_id FOR UPDATE;
END $$;

-- Independent requests [{"person_id", "request_id", "person_ids", "memories": [{"memory_id",
-- "knowledge_id", "key", "value", "category", "importance", "metadata", "source_event_id",
-- "occurred_at", "content", "content_hash", "terms", "term_counts", "term_total"}]}], each set as
-- a whole, no memory in two of them. `knowledge_id` is that of the item where there is none yet.
-- Each is answered {"ok": [{"memory", "changed", "revision"}]} or an error.
CREATE FUNCTION knowledge.upsert_memories(requests jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan'
-- The planner takes a batch for ten thousand memories and would read whole tables for it.
SET enable_hashjoin = 'off' SET enable_mergejoin = 'off' AS $$
#variable_conflict use_column
DECLARE
    erased uuid[];
    changes jsonb;
BEGIN
    erased := knowledge.hold_subjects(ARRAY(
        SELECT DISTINCT (r ->> 'person_id')::uuid
        FROM jsonb_array_elements(upsert_memories.requests) r));
    PERFORM knowledge.hold_memories(ARRAY(
        SELECT (m ->> 'memory_id')::uuid
        FROM jsonb_array_elements(upsert_memories.requests) r
        CROSS JOIN LATERAL jsonb_array_elements(r -> 'memories') m));

    WITH given AS MATERIALIZED (
        SELECT (r ->> 'person_id')::uuid AS person_id, (r ->> 'request_id')::uuid AS request_id, m.*
        FROM jsonb_array_elements(upsert_memories.requests) r
        CROSS JOIN LATERAL jsonb_to_recordset(r -> 'memories') m (
            memory_id uuid, knowledge_id uuid, key text, value text, category text,
            importance float8, metadata jsonb, source_event_id uuid, occurred_at timestamptz,
            content text, content_hash bytea, terms text[], term_counts smallint[],
            term_total integer)
        WHERE (r ->> 'person_id')::uuid <> ALL (erased)
    ), fresh AS MATERIALIZED (
        SELECT g.person_id, g.request_id, g.memory_id, g.key, g.value, g.category, g.metadata,
               g.source_event_id, g.content, g.content_hash, g.terms, g.term_counts, g.term_total,
               held.memory_id IS NULL AS is_new,
               coalesce(held.knowledge_id, g.knowledge_id) AS knowledge_id,
               coalesce(g.importance, held.importance, 0.5) AS importance,
               coalesce(g.occurred_at, now()) AS occurred_at,
               -- Later than the version before, though this transaction may have begun before it.
               greatest(clock_timestamp(), held.updated_at + interval '1 microsecond') AS at,
               coalesce(last.version, 0) + 1 AS version,
               first.created_at AS first_at
        FROM given g
        LEFT JOIN knowledge.memories held ON held.memory_id = g.memory_id
        LEFT JOIN LATERAL (
            SELECT v.version, v.request_id FROM knowledge.memory_versions v
            WHERE v.memory_id = g.memory_id ORDER BY v.version DESC LIMIT 1) last ON true
        LEFT JOIN knowledge.memory_versions first
            ON first.memory_id = g.memory_id AND first.version = 1
        WHERE last.request_id IS DISTINCT FROM g.request_id
          AND (held.memory_id IS NULL
               OR (held.value, held.category, held.importance, held.metadata) IS DISTINCT FROM
                  (g.value, g.category, coalesce(g.importance, held.importance), g.metadata))
    ), kept AS (
        INSERT INTO knowledge.memories AS m (
            memory_id, person_id, knowledge_id, source_event_id, occurred_at, created_at,
            updated_at, importance, version, memory_key, category, value, metadata)
        SELECT f.memory_id, f.person_id, f.knowledge_id, f.source_event_id, f.occurred_at,
               coalesce(f.first_at, f.at), f.at, f.importance, f.version, f.key, f.category,
               f.value, f.metadata
        FROM fresh f ORDER BY f.memory_id
        ON CONFLICT (memory_id) DO UPDATE
        SET source_event_id = excluded.source_event_id, occurred_at = excluded.occurred_at,
            updated_at = excluded.updated_at, importance = excluded.importance,
            version = excluded.version, category = excluded.category, value = excluded.value,
            metadata = excluded.metadata
    ), history AS (
        INSERT INTO knowledge.memory_versions (
            memory_id, version, person_id, source_event_id, occurred_at, created_at, importance,
            memory_key, category, value, metadata, request_id)
        SELECT f.memory_id, f.version, f.person_id, f.source_event_id, f.occurred_at, f.at,
               f.importance, f.key, f.category, f.value, f.metadata, f.request_id
        FROM fresh f
    ), item AS MATERIALIZED (
        -- A memory's own keys go before the caller's of the same name.
        SELECT f.*, f.metadata || jsonb_build_object(
                   'key', f.key, 'category', f.category, 'importance', f.importance
               ) AS item_metadata,
               CASE WHEN f.is_new THEN nextval('knowledge.revisions') END AS revision
        FROM fresh f
    ), inserted AS (
        INSERT INTO knowledge.knowledge_items (
            knowledge_id, revision, occurred_at, subject_id, person_id, session_id,
            source_event_id, owner, term_total, namespace, content_hash, body_hash, terms,
            term_counts, metadata, content, memory_id)
        -- Each in a conversation of its own, for nothing stands beside it: what was remembered
        -- together need not belong together, and is not to lend one another scores.
        SELECT i.knowledge_id, i.revision, i.occurred_at, i.person_id, i.person_id, i.memory_id,
               i.source_event_id, i.person_id, i.term_total, 'memories', i.content_hash,
               i.content_hash, i.terms, i.term_counts, i.item_metadata, i.content, i.memory_id
        FROM item i WHERE i.is_new ORDER BY i.knowledge_id
    ), queued AS (
        INSERT INTO knowledge.index_states (knowledge_id, revision)
        SELECT i.knowledge_id, i.revision FROM item i WHERE i.is_new
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'knowledge_id', i.knowledge_id, 'content', i.content,
               'content_hash', i.content_hash, 'terms', i.terms, 'term_counts', i.term_counts,
               'term_total', i.term_total, 'metadata', i.item_metadata,
               'occurred_at', i.occurred_at, 'source_event_id', i.source_event_id)), '[]')
    INTO changes FROM item i WHERE NOT i.is_new;

    IF changes <> '[]' THEN
        -- In the order in which deletions and indexers lock them.
        PERFORM FROM knowledge.knowledge_items i
        WHERE i.knowledge_id = ANY (ARRAY(
            SELECT (c ->> 'knowledge_id')::uuid FROM jsonb_array_elements(changes) c))
        ORDER BY i.knowledge_id FOR UPDATE;
        PERFORM FROM knowledge.index_states s
        WHERE s.knowledge_id = ANY (ARRAY(
            SELECT (c ->> 'knowledge_id')::uuid FROM jsonb_array_elements(changes) c))
        ORDER BY s.knowledge_id FOR UPDATE;
        PERFORM knowledge.replace_items(changes);
        UPDATE knowledge.knowledge_items i SET source_event_id = c.source_event_id
        FROM jsonb_to_recordset(changes) c (knowledge_id uuid, source_event_id uuid)
        WHERE i.knowledge_id = c.knowledge_id
          AND i.source_event_id IS DISTINCT FROM c.source_event_id;
    END IF;

    RETURN (
        SELECT jsonb_agg(CASE
                   WHEN (r.value ->> 'person_id')::uuid = ANY (erased)
                       THEN jsonb_build_object('error', jsonb_build_object(
                           'code', 'ZK002', 'subject_id', r.value ->> 'person_id'))
                   ELSE jsonb_build_object('ok', answer.memories) END ORDER BY r.place)
        FROM jsonb_array_elements(upsert_memories.requests) WITH ORDINALITY r (value, place)
        CROSS JOIN LATERAL (
            SELECT jsonb_agg(jsonb_build_object(
                       'memory', knowledge.rendered_memory(m, people.ids),
                       'changed', v.request_id IS NOT DISTINCT FROM (r.value ->> 'request_id')::uuid,
                       'revision', i.revision) ORDER BY g.place) AS memories
            FROM jsonb_array_elements(r.value -> 'memories') WITH ORDINALITY g (value, place)
            CROSS JOIN (SELECT ARRAY(
                SELECT p::uuid FROM jsonb_array_elements_text(r.value -> 'person_ids') p) AS ids
            ) people
            JOIN knowledge.memories m ON m.memory_id = (g.value ->> 'memory_id')::uuid
            JOIN knowledge.memory_versions v
                ON v.memory_id = m.memory_id AND v.version = m.version
            JOIN knowledge.knowledge_items i ON i.knowledge_id = m.knowledge_id
        ) answer);
END $$;

-- Forgets memories, [{"person_id", "memory_id", "request_id", "purge"}], independent of one
-- another; each is answered {"ok": whether it deleted one}. The items are hidden at once, and the
-- rest is the queue's. (The repeat of a purge whose answer was lost finds nothing of it, and says so.)
CREATE FUNCTION knowledge.delete_memories(requests jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    asked uuid[] := ARRAY(
        SELECT (r ->> 'memory_id')::uuid FROM jsonb_array_elements(delete_memories.requests) r);
    gone jsonb;
    items uuid[];
BEGIN
    -- Of somebody erased there is nothing to delete.
    PERFORM knowledge.hold_subjects(ARRAY(
        SELECT DISTINCT (r ->> 'person_id')::uuid
        FROM jsonb_array_elements(delete_memories.requests) r));
    PERFORM knowledge.hold_memories(asked);

    WITH forgotten AS (
        DELETE FROM knowledge.memories m WHERE m.memory_id = ANY (asked) RETURNING m.*
    ), request AS (
        SELECT DISTINCT ON (1) (r.value ->> 'memory_id')::uuid AS memory_id,
               (r.value ->> 'request_id')::uuid AS request_id
        FROM jsonb_array_elements(delete_memories.requests) WITH ORDINALITY r (value, place)
        ORDER BY 1, r.place
    ), history AS (
        INSERT INTO knowledge.memory_versions (
            memory_id, version, person_id, occurred_at, created_at, importance, is_deletion,
            memory_key, category, value, metadata, request_id)
        SELECT f.memory_id, f.version + 1, f.person_id, now(),
               greatest(clock_timestamp(), f.updated_at + interval '1 microsecond'), f.importance,
               true, f.memory_key, f.category, '', '{}', r.request_id
        FROM forgotten f JOIN request r USING (memory_id)
    )
    SELECT coalesce(jsonb_object_agg(r.request_id, f.knowledge_id), '{}')
    INTO gone FROM forgotten f JOIN request r USING (memory_id);

    DELETE FROM knowledge.memory_versions v WHERE v.memory_id = ANY (ARRAY(
        SELECT (r ->> 'memory_id')::uuid FROM jsonb_array_elements(delete_memories.requests) r
        WHERE (r -> 'purge')::boolean));

    items := ARRAY(
        SELECT i.knowledge_id FROM knowledge.knowledge_items i
        WHERE i.deleted_at IS NULL AND i.knowledge_id = ANY (ARRAY(
            SELECT g.value::uuid FROM jsonb_each_text(gone) g))
        ORDER BY i.knowledge_id FOR UPDATE);
    INSERT INTO knowledge.deleted_ids (knowledge_id, request_id)
    SELECT g.value::uuid, g.key::uuid FROM jsonb_each_text(gone) g
    WHERE g.value::uuid = ANY (items) ORDER BY 1;
    UPDATE knowledge.knowledge_items i SET deleted_at = now() WHERE i.knowledge_id = ANY (items);
    UPDATE knowledge.index_states s
    SET state = 'deleting', pending_since = now(),
        -- Whoever is indexing it just now finds out when marking, or loses the lease.
        lease_owner = CASE WHEN held.by_indexer THEN s.lease_owner END,
        next_attempt_at = CASE WHEN held.by_indexer THEN s.next_attempt_at ELSE now() END
    FROM (
        SELECT h.knowledge_id, h.state = 'pending' AND h.lease_owner IS NOT NULL
               AND h.next_attempt_at > now() AS by_indexer
        FROM knowledge.index_states h WHERE h.knowledge_id = ANY (items)
        ORDER BY h.knowledge_id FOR UPDATE
    ) held
    WHERE s.knowledge_id = held.knowledge_id;

    RETURN (
        SELECT jsonb_agg(jsonb_build_object('ok', gone ? (r.value ->> 'request_id') OR EXISTS (
                   SELECT FROM knowledge.memory_versions v
                   WHERE v.memory_id = (r.value ->> 'memory_id')::uuid AND v.is_deletion
                     AND v.request_id = (r.value ->> 'request_id')::uuid
               )) ORDER BY r.place)
        FROM jsonb_array_elements(delete_memories.requests) WITH ORDINALITY r (value, place));
END $$;

-- The memories of one key, in the order of the people.
CREATE FUNCTION knowledge.get_memories(person_ids text[], key text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(
               knowledge.rendered_memory(m, get_memories.person_ids::uuid[])
               ORDER BY array_position(get_memories.person_ids::uuid[], m.person_id)), '[]')
    FROM knowledge.memories m
    WHERE m.person_id = ANY (get_memories.person_ids::uuid[]) AND m.memory_key = get_memories.key
$$;

-- Those of the memories that are there, in no order.
CREATE FUNCTION knowledge.read_memories(ids text[], person_ids text[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(
               knowledge.rendered_memory(m, read_memories.person_ids::uuid[])), '[]')
    FROM knowledge.memories m WHERE m.memory_id = ANY (read_memories.ids::uuid[])
$$;

-- A page of people's memories behind a place, {"rank", "key", "person_id"}: one limited scan for
-- each person, of the index that has the order. `sorting` is key, importance, updated or accessed;
-- the filter, {"categories", "least", "exclude_shadowed"}.
CREATE FUNCTION knowledge.list_memories(
    person_ids text[], filter jsonb, sorting text, most integer, after jsonb DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
-- Most people have few memories, so the planner would rather sort; of somebody who has many it
-- would read them all for each page.
SET search_path = '' SET enable_sort = 'off' SET enable_incremental_sort = 'off' AS $function$
#variable_conflict use_column
DECLARE
    people uuid[] := list_memories.person_ids;
    -- As in the indexes: of a memory, and of the place.
    rank text := CASE list_memories.sorting
        WHEN 'importance' THEN '-m.importance'
        WHEN 'updated' THEN $$timestamptz '3000-01-01 00:00:00+00' - m.updated_at$$
        WHEN 'accessed' THEN $$timestamptz '3000-01-01 00:00:00+00'
            - coalesce(m.last_accessed_at, timestamptz '1970-01-01 00:00:00+00')$$ END;
    bound text := CASE list_memories.sorting
        WHEN 'importance' THEN '-$5::float8'
        ELSE $$timestamptz '3000-01-01 00:00:00+00'
            - coalesce($5::timestamptz, timestamptz '1970-01-01 00:00:00+00')$$ END;
    behind text := '';
    page uuid[];
BEGIN
    IF list_memories.after IS NOT NULL THEN
        -- The first condition says where in the index of one person to begin.
        behind := CASE WHEN rank IS NULL
            THEN 'AND m.memory_key >= $6 AND (m.memory_key, m.person_id) > ($6, $7)'
            ELSE format('AND (%1$s, m.memory_key) >= (%2$s, $6)
                         AND (%1$s, m.memory_key, m.person_id) > (%2$s, $6, $7)', rank, bound) END;
    END IF;
    EXECUTE format(
        $query$
        SELECT ARRAY(
            SELECT n.memory_id
            FROM (SELECT DISTINCT u.id FROM unnest($1) u (id)) person
            CROSS JOIN LATERAL (
                SELECT m.memory_id, m.memory_key, m.person_id, %1$s AS rank
                FROM knowledge.memories m
                WHERE m.person_id = person.id AND m.importance >= $3
                  AND ($2 IS NULL OR m.category = ANY ($2))
                  AND (NOT $4 OR knowledge.shadower(m, $1) IS NULL) %2$s
                ORDER BY %3$s m.memory_key LIMIT $8) n
            ORDER BY n.rank, n.memory_key, n.person_id LIMIT $8)
        $query$,
        coalesce(rank, 'NULL::integer'), behind, rank || ',')
    INTO page
    USING people,
        CASE WHEN list_memories.filter ? 'categories'
             THEN ARRAY(SELECT jsonb_array_elements_text(list_memories.filter -> 'categories')) END,
        coalesce((list_memories.filter -> 'least')::float8, 0),
        coalesce((list_memories.filter -> 'exclude_shadowed')::boolean, false)
            AND cardinality(people) > 1,
        list_memories.after ->> 'rank', list_memories.after ->> 'key',
        (list_memories.after ->> 'person_id')::uuid, list_memories.most;
    RETURN (
        SELECT coalesce(jsonb_agg(knowledge.rendered_memory(m, people) ORDER BY p.place), '[]')
        FROM unnest(page) WITH ORDINALITY p (memory_id, place)
        JOIN knowledge.memories m USING (memory_id));
END $function$;

-- The versions of a memory, newest first, from below one on; what the item and the accesses are
-- stands with the one that is there now.
CREATE FUNCTION knowledge.list_memory_versions(
    memory_id uuid, most integer, before_version integer DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'memory_id', v.memory_id, 'person_id', v.person_id, 'key', v.memory_key,
                   'value', v.value, 'category', v.category, 'importance', v.importance,
                   'metadata', v.metadata, 'source_event_id', v.source_event_id,
                   'occurred_at', v.occurred_at, 'created_at', first.created_at,
                   'updated_at', v.created_at, 'version', v.version,
                   'access_count', coalesce(m.access_count, 0),
                   'last_accessed_at', m.last_accessed_at, 'knowledge_id', m.knowledge_id,
                   'shadowed_by', NULL, 'is_deletion', v.is_deletion) ORDER BY v.version DESC), '[]')
        FROM (
            SELECT * FROM knowledge.memory_versions h
            WHERE h.memory_id = list_memory_versions.memory_id
              AND (before_version IS NULL OR h.version < before_version)
            ORDER BY h.version DESC LIMIT list_memory_versions.most) v
        JOIN knowledge.memory_versions first
            ON first.memory_id = v.memory_id AND first.version = 1
        LEFT JOIN knowledge.memories m ON m.memory_id = v.memory_id AND m.version = v.version);
END $$;

-- Counts accesses, [{"memory_id", "count", "seconds_ago"}], once for each flush. It adds nothing
-- about anybody that an eraser would have to wait for: what is gone is not counted.
CREATE FUNCTION knowledge.count_accesses(accesses jsonb, flush_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM knowledge.memories m
    WHERE m.memory_id = ANY (ARRAY(
        SELECT (a ->> 'memory_id')::uuid FROM jsonb_array_elements(accesses) a))
    ORDER BY m.memory_id FOR UPDATE;
    UPDATE knowledge.memories m
    SET access_count = m.access_count + a.count, counted_by = count_accesses.flush_id,
        last_accessed_at = greatest(
            m.last_accessed_at, now() - make_interval(secs => a.seconds_ago))
    FROM jsonb_to_recordset(accesses) a (memory_id uuid, count bigint, seconds_ago float8)
    WHERE m.memory_id = a.memory_id AND m.counted_by IS DISTINCT FROM count_accesses.flush_id;
    RETURN 'null';
END $$;
