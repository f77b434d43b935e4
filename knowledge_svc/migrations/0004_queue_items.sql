-- What the indexer works through: a queue of items to index and of deletions to finish.

-- Up to `most` rows that are due, oldest first, held by `owner` for a while; another replica
-- takes them up when that is over. Answers what is to be done with each.
CREATE FUNCTION knowledge.claim_pending(owner text, most integer, lease_ms integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    work jsonb;
BEGIN
    WITH due AS (
        SELECT s.knowledge_id FROM knowledge.index_states s
        WHERE s.state IN ('pending', 'deleting') AND s.next_attempt_at <= now()
        ORDER BY s.next_attempt_at, s.revision
        LIMIT claim_pending.most FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE knowledge.index_states s
        SET lease_owner = claim_pending.owner,
            next_attempt_at = now() + make_interval(secs => claim_pending.lease_ms / 1000.0)
        FROM due WHERE s.knowledge_id = due.knowledge_id
        RETURNING s.knowledge_id, s.revision, s.state, s.attempts, s.pending_since
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'knowledge_id', c.knowledge_id, 'revision', c.revision,
               'is_deletion', c.state = 'deleting', 'attempts', c.attempts,
               'waited_seconds', extract(epoch FROM now() - c.pending_since),
               'content', i.content, 'namespace', i.namespace, 'subject_id', i.subject_id,
               'group_id', i.group_id, 'session_id', i.session_id,
               'occurred_at', i.occurred_at) ORDER BY c.revision), '[]')
    INTO work
    FROM claimed c JOIN knowledge.knowledge_items i USING (knowledge_id);
    RETURN work;
END $$;

-- Says that these writes, [{"knowledge_id", "revision", "embedding_model"}], are in the index.
-- A row that has changed since is left pending, or made so again. Answers the ids of items
-- that are gone or going: their vectors are to be removed again.
CREATE FUNCTION knowledge.mark_indexed(marks jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    ids uuid[];
BEGIN
    ids := ARRAY(
        SELECT s.knowledge_id FROM knowledge.index_states s
        WHERE s.knowledge_id = ANY (ARRAY(
            SELECT (m ->> 'knowledge_id')::uuid FROM jsonb_array_elements(marks) m))
          AND s.state <> 'deleting'
        ORDER BY s.knowledge_id FOR UPDATE);
    UPDATE knowledge.index_states s
    SET state = CASE WHEN s.revision = m.revision THEN 'indexed' ELSE 'pending' END,
        embedding_model = CASE WHEN s.revision = m.revision THEN m.embedding_model END,
        lease_owner = CASE WHEN s.revision = m.revision THEN NULL ELSE s.lease_owner END,
        attempts = 0, last_error = NULL
    FROM jsonb_to_recordset(marks) m (knowledge_id uuid, revision bigint, embedding_model text)
    WHERE s.knowledge_id = m.knowledge_id AND s.knowledge_id = ANY (ids);
    RETURN (
        SELECT coalesce(jsonb_agg(m ->> 'knowledge_id'), '[]')
        FROM jsonb_array_elements(marks) m
        WHERE (m ->> 'knowledge_id')::uuid <> ALL (ids));
END $$;

-- Puts off what failed, [{"knowledge_id", "revision", "attempts", "delay_seconds", "is_final",
-- "error"}]; an item whose failure is final is given up, a deletion never is.
CREATE FUNCTION knowledge.put_off(failures jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM knowledge.index_states s
    WHERE s.knowledge_id = ANY (ARRAY(
        SELECT (f ->> 'knowledge_id')::uuid FROM jsonb_array_elements(failures) f))
    ORDER BY s.knowledge_id FOR UPDATE;
    UPDATE knowledge.index_states s
    SET state = CASE WHEN s.state = 'pending' AND f.is_final THEN 'failed' ELSE s.state END,
        attempts = f.attempts, last_error = f.error, lease_owner = NULL,
        next_attempt_at = now() + make_interval(secs => f.delay_seconds)
    FROM jsonb_to_recordset(failures) f (
        knowledge_id uuid, revision bigint, attempts integer, delay_seconds float8,
        is_final boolean, error text)
    WHERE s.knowledge_id = f.knowledge_id AND s.revision = f.revision
      AND s.state IN ('pending', 'deleting');
    RETURN 'null';
END $$;

-- Those of the writes, [{"knowledge_id", "revision"}], in order, that still wait to be indexed.
CREATE FUNCTION knowledge.pending_writes(writes jsonb) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(w.value ORDER BY w.place), '[]')
    FROM jsonb_array_elements(pending_writes.writes) WITH ORDINALITY w (value, place)
    JOIN knowledge.index_states s ON s.knowledge_id = (w.value ->> 'knowledge_id')::uuid
    WHERE s.state = 'pending' AND s.revision >= (w.value -> 'revision')::bigint
$$;

-- How many rows wait, and for how long the oldest has.
CREATE FUNCTION knowledge.backlog() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT jsonb_build_object(
        'rows', count(*),
        'oldest_seconds', coalesce(extract(epoch FROM now() - min(s.pending_since)), 0))
    FROM knowledge.index_states s WHERE s.state IN ('pending', 'deleting')
$$;

-- Moves what was stored lately from the pending lists of the GIN indexes into the indexes.
CREATE FUNCTION knowledge.settle_words() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM gin_clean_pending_list('knowledge.knowledge_items_by_terms'),
            gin_clean_pending_list('knowledge.knowledge_items_by_metadata');
    RETURN 'null';
END $$;
