-- Erasure: nothing is kept about subjects any more, and what was goes in steps. And the export of
-- what is kept of them, in pages.
--
-- What is about a subject: what has it for `subject_id`, and what has it for `person_id` and no
-- `subject_id`. What only names it as the person of the time of writing is somebody else's past
-- (two people were one then, and are not any more): that stays, without the name.

CREATE INDEX knowledge_items_by_person
    ON knowledge.knowledge_items (person_id, occurred_at, knowledge_id) WHERE person_id IS NOT NULL;
CREATE INDEX documents_by_person ON knowledge.documents (person_id) WHERE person_id IS NOT NULL;

-- Refuses writes about the subjects from now on. Waits for writers that are at it, but not for
-- long, since later ones wait behind it.
CREATE FUNCTION knowledge.start_erasure(subject_ids text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s' AS $$
BEGIN
    PERFORM knowledge.close_subjects(start_erasure.subject_ids::uuid[]);
    RETURN 'null';
END $$;

-- Those of the subjects that are refused, held for one step: steps about the same subjects go one
-- after the other. For the functions below.
CREATE FUNCTION knowledge.hold_erased(subject_ids text[]) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN ARRAY(
        SELECT e.subject_id FROM knowledge.erased_subjects e
        WHERE e.subject_id = ANY (hold_erased.subject_ids::uuid[])
        ORDER BY e.subject_id FOR UPDATE);
END $$;

-- Adds to what was erased of subjects, [{"subject_id", "kind", "number"}]; null adds nothing.
CREATE FUNCTION knowledge.note_erased(counts jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    UPDATE knowledge.erased_subjects e SET erased = e.erased || n.added
    FROM (
        SELECT c.subject_id, jsonb_object_agg(
                   c.kind, c.number + coalesce((s.erased ->> c.kind)::bigint, 0)) AS added
        FROM (
            SELECT r.subject_id, r.kind, sum(r.number)::bigint AS number
            FROM jsonb_to_recordset(note_erased.counts) r (
                subject_id uuid, kind text, number bigint)
            GROUP BY r.subject_id, r.kind
        ) c JOIN knowledge.erased_subjects s USING (subject_id)
        WHERE c.number > 0
        GROUP BY c.subject_id
    ) n
    WHERE e.subject_id = n.subject_id;
END $$;

-- Hides some of the items about erased subjects, for good, and takes up those of the hidden ones
-- that nobody is at: {"ids", "held"}. The vectors of `ids` are to go next, then the rows
-- (`finish_deletions`); `held` is how many of the rest an indexer, or another eraser, is at.
CREATE FUNCTION knowledge.erase_items(
    subject_ids text[], owner text, lease_ms integer, most integer
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' SET jit = off AS $$
#variable_conflict use_column
DECLARE
    subjects uuid[] := knowledge.hold_erased(erase_items.subject_ids);
    chosen uuid[];
    taken uuid[];
    counts jsonb;
    held integer;
BEGIN
    -- Without a sort, so that it ends with the last one wanted.
    chosen := ARRAY(
        SELECT t.knowledge_id
        FROM (
            SELECT i.knowledge_id FROM knowledge.knowledge_items i
            WHERE i.subject_id = ANY (subjects)
            UNION ALL
            SELECT i.knowledge_id FROM knowledge.knowledge_items i
            WHERE i.subject_id IS NULL AND i.person_id = ANY (subjects)
            UNION ALL
            SELECT m.knowledge_id FROM knowledge.memories m WHERE m.person_id = ANY (subjects)
            UNION ALL
            SELECT i.knowledge_id
            FROM knowledge.documents d JOIN knowledge.knowledge_items i USING (document_id)
            WHERE d.subject_id = ANY (subjects)
               OR d.subject_id IS NULL AND d.person_id = ANY (subjects)
        ) t
        JOIN knowledge.knowledge_items i USING (knowledge_id)
        JOIN knowledge.index_states s USING (knowledge_id)
        WHERE i.deleted_at IS NULL OR s.lease_owner IS NULL OR s.next_attempt_at <= now()
           OR s.lease_owner = erase_items.owner
        LIMIT erase_items.most);
    chosen := ARRAY(
        SELECT i.knowledge_id FROM knowledge.knowledge_items i
        WHERE i.knowledge_id = ANY (chosen) ORDER BY i.knowledge_id FOR UPDATE);

    WITH hidden AS (
        UPDATE knowledge.knowledge_items i SET deleted_at = now()
        WHERE i.knowledge_id = ANY (chosen) AND i.deleted_at IS NULL
        RETURNING i.knowledge_id,
            CASE WHEN i.subject_id = ANY (subjects) THEN i.subject_id
                 WHEN i.person_id = ANY (subjects) THEN i.person_id
                 ELSE subjects[1] END AS subject_id
    ), kept AS (
        INSERT INTO knowledge.deleted_ids (knowledge_id, request_id)
        SELECT h.knowledge_id, gen_random_uuid() FROM hidden h
        ON CONFLICT DO NOTHING
    )
    SELECT jsonb_agg(jsonb_build_object(
               'subject_id', h.subject_id, 'kind', k.kind, 'number', 1))
    INTO counts
    FROM hidden h
    JOIN knowledge.index_states s USING (knowledge_id)
    CROSS JOIN LATERAL (VALUES ('items', true), ('vectors', s.embedding_model IS NOT NULL))
        k (kind, is_one)
    WHERE k.is_one;
    PERFORM knowledge.note_erased(counts);

    -- Whoever is indexing an item just now is to find that it is gone, and take its vector back.
    WITH locked AS (
        SELECT s.knowledge_id,
               s.lease_owner IS NULL OR s.next_attempt_at <= now()
               OR s.lease_owner = erase_items.owner AS is_free
        FROM knowledge.index_states s WHERE s.knowledge_id = ANY (chosen)
        ORDER BY s.knowledge_id FOR UPDATE
    ), updated AS (
        UPDATE knowledge.index_states s
        SET state = 'deleting',
            pending_since = CASE s.state WHEN 'deleting' THEN s.pending_since ELSE now() END,
            lease_owner = CASE WHEN l.is_free THEN erase_items.owner ELSE s.lease_owner END,
            next_attempt_at = CASE WHEN l.is_free
                THEN now() + make_interval(secs => erase_items.lease_ms / 1000.0)
                ELSE s.next_attempt_at END
        FROM locked l WHERE s.knowledge_id = l.knowledge_id
        RETURNING s.knowledge_id, l.is_free
    )
    SELECT array_agg(u.knowledge_id) FILTER (WHERE u.is_free) INTO taken FROM updated u;
    taken := coalesce(taken, '{}');

    IF cardinality(taken) = 0 THEN
        SELECT count(*) INTO held FROM knowledge.knowledge_items i
        WHERE i.subject_id = ANY (subjects)
           OR i.subject_id IS NULL AND i.person_id = ANY (subjects)
           OR i.knowledge_id IN (
                  SELECT m.knowledge_id FROM knowledge.memories m WHERE m.person_id = ANY (subjects))
           OR i.document_id IN (
                  SELECT d.document_id FROM knowledge.documents d
                  WHERE d.subject_id = ANY (subjects)
                     OR d.subject_id IS NULL AND d.person_id = ANY (subjects));
    END IF;
    RETURN jsonb_build_object('ids', to_jsonb(taken), 'held', coalesce(held, 0));
END $$;

-- Deletes some of the memories of erased subjects, with their versions; whether there are more.
CREATE FUNCTION knowledge.erase_memories(subject_ids text[], most integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    subjects uuid[] := knowledge.hold_erased(erase_memories.subject_ids);
    doomed uuid[];
    counts jsonb;
BEGIN
    -- First whatever is found first, then locked in order.
    doomed := ARRAY(
        SELECT m.memory_id FROM knowledge.memories m
        WHERE m.person_id = ANY (subjects) LIMIT erase_memories.most);
    PERFORM FROM knowledge.memories m
    WHERE m.memory_id = ANY (doomed) ORDER BY m.memory_id FOR UPDATE;
    WITH versions AS (
        DELETE FROM knowledge.memory_versions v
        WHERE v.ctid = ANY (ARRAY(
            SELECT c.ctid FROM knowledge.memory_versions c
            WHERE c.person_id = ANY (subjects) LIMIT erase_memories.most))
        RETURNING v.person_id
    ), memories AS (
        DELETE FROM knowledge.memories m WHERE m.memory_id = ANY (doomed)
        RETURNING m.person_id
    )
    SELECT jsonb_agg(jsonb_build_object(
               'subject_id', g.person_id, 'kind', g.kind, 'number', 1))
    INTO counts
    FROM (
        SELECT v.person_id, 'memory_versions' AS kind FROM versions v
        UNION ALL
        SELECT m.person_id, 'memories' FROM memories m
    ) g;
    PERFORM knowledge.note_erased(counts);
    RETURN to_jsonb(
        EXISTS (SELECT FROM knowledge.memory_versions v WHERE v.person_id = ANY (subjects))
        OR EXISTS (SELECT FROM knowledge.memories m WHERE m.person_id = ANY (subjects)));
END $$;

-- Makes deletions of some of the documents of erased subjects; whether there may be more. For a
-- while nobody but `erase_documents` takes them up. Their pieces go next.
CREATE FUNCTION knowledge.hide_documents(subject_ids text[], most integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    subjects uuid[] := knowledge.hold_erased(hide_documents.subject_ids);
    chosen uuid[] := ARRAY(
        SELECT d.document_id FROM knowledge.documents d
        WHERE (d.subject_id = ANY (subjects)
               OR d.subject_id IS NULL AND d.person_id = ANY (subjects))
          AND d.state NOT IN ('storing', 'deleting')
        LIMIT hide_documents.most);
    hidden uuid[];
BEGIN
    PERFORM knowledge.hold_documents(chosen);
    WITH going AS (
        UPDATE knowledge.documents d
        SET state = 'deleting', is_latest = false, revision = nextval('knowledge.revisions'),
            changed_at = now(), attempts = 0, lease_owner = NULL,
            next_attempt_at = now() + interval '30 seconds'
        WHERE d.document_id = ANY (chosen) AND d.state NOT IN ('storing', 'deleting')
        RETURNING d.document_id
    )
    SELECT array_agg(g.document_id) INTO hidden FROM going g;
    PERFORM knowledge.doom_readings(h.id) FROM unnest(hidden) h (id);
    PERFORM knowledge.settle_versions(d)
    FROM knowledge.documents d WHERE d.document_id = ANY (hidden);
    PERFORM knowledge.note_erased((
        SELECT jsonb_agg(jsonb_build_object(
            'subject_id', coalesce(d.subject_id, d.person_id), 'kind', k.kind, 'number', 1))
        FROM knowledge.documents d CROSS JOIN (VALUES ('documents'), ('files')) k (kind)
        WHERE d.document_id = ANY (hidden)));
    RETURN to_jsonb(cardinality(chosen) = hide_documents.most);
END $$;

-- Takes up some of the hidden documents of erased subjects, [{"document_id", "blob_key"}], and
-- uploads that were given up: {"documents", "held"}. Their pieces are gone, their files are to go
-- next, then the rows (`forget_documents`). An upload that is under way is waited for, or for its
-- lease to end: its file may come at any moment. So is what somebody else is deleting.
CREATE FUNCTION knowledge.erase_documents(
    subject_ids text[], owner text, lease_ms integer, most integer
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    subjects uuid[] := knowledge.hold_erased(erase_documents.subject_ids);
    documents jsonb;
    held integer;
BEGIN
    WITH doomed AS (
        SELECT d.document_id FROM knowledge.documents d
        WHERE (d.subject_id = ANY (subjects)
               OR d.subject_id IS NULL AND d.person_id = ANY (subjects))
          AND d.state IN ('storing', 'deleting')
          AND (d.next_attempt_at <= now() OR d.lease_owner = erase_documents.owner
               OR d.state = 'deleting' AND d.lease_owner IS NULL)
        ORDER BY d.document_id LIMIT erase_documents.most FOR UPDATE
    ), taken AS (
        -- By another revision whoever was at it does not end it any more.
        UPDATE knowledge.documents d
        SET state = 'deleting', revision = nextval('knowledge.revisions'), changed_at = now(),
            lease_owner = erase_documents.owner,
            next_attempt_at = now() + make_interval(secs => erase_documents.lease_ms / 1000.0)
        FROM doomed WHERE d.document_id = doomed.document_id
        RETURNING d.document_id, d.blob_key
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'document_id', t.document_id, 'blob_key', t.blob_key)), '[]')
    INTO documents FROM taken t;
    IF documents = '[]' THEN
        SELECT count(*) INTO held FROM knowledge.documents d
        WHERE d.subject_id = ANY (subjects)
           OR d.subject_id IS NULL AND d.person_id = ANY (subjects);
    END IF;
    RETURN jsonb_build_object('documents', documents, 'held', coalesce(held, 0));
END $$;

-- Forgets documents whose files are gone. Only those that `owner` is deleting.
CREATE FUNCTION knowledge.forget_documents(ids text[], owner text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    DELETE FROM knowledge.documents d
    WHERE d.document_id = ANY (forget_documents.ids::uuid[])
      AND d.state = 'deleting' AND d.lease_owner = forget_documents.owner
      AND NOT EXISTS (SELECT FROM knowledge.knowledge_items i WHERE i.document_id = d.document_id);
    RETURN 'null';
END $$;

-- Takes the names of erased people from some of what is somebody else's; whether there is more.
CREATE FUNCTION knowledge.unname_erased(subject_ids text[], most integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    subjects uuid[] := knowledge.hold_erased(unname_erased.subject_ids);
    items bigint;
    documents bigint;
BEGIN
    UPDATE knowledge.knowledge_items i SET person_id = NULL
    FROM (
        SELECT n.knowledge_id FROM knowledge.knowledge_items n
        WHERE n.person_id = ANY (subjects) AND n.subject_id <> ALL (subjects)
        ORDER BY n.knowledge_id LIMIT unname_erased.most FOR UPDATE
    ) n
    WHERE i.knowledge_id = n.knowledge_id;
    GET DIAGNOSTICS items = ROW_COUNT;
    UPDATE knowledge.documents d SET person_id = NULL
    FROM (
        SELECT n.document_id FROM knowledge.documents n
        WHERE n.person_id = ANY (subjects) AND n.subject_id <> ALL (subjects)
        ORDER BY n.document_id LIMIT unname_erased.most FOR UPDATE
    ) n
    WHERE d.document_id = n.document_id;
    GET DIAGNOSTICS documents = ROW_COUNT;
    RETURN to_jsonb(greatest(items, documents) = unname_erased.most);
END $$;

-- How much was erased of subjects in all, by kind.
CREATE FUNCTION knowledge.erased_in_all(subject_ids text[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_object_agg(k.kind, k.number), '{}')
    FROM (
        SELECT c.key AS kind, sum(c.value::bigint)::bigint AS number
        FROM knowledge.erased_subjects e CROSS JOIN LATERAL jsonb_each_text(e.erased) c
        WHERE e.subject_id = ANY (erased_in_all.subject_ids::uuid[])
        GROUP BY c.key
    ) k
$$;

-- How many rows are about subjects, or name them: by looking at all of them, hidden or not.
CREATE FUNCTION knowledge.count_subjects(subject_ids text[]) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    subjects uuid[] := count_subjects.subject_ids::uuid[];
BEGIN
    RETURN jsonb_build_object(
        'items', (SELECT count(*) FROM knowledge.knowledge_items i
                  WHERE i.subject_id = ANY (subjects) OR i.person_id = ANY (subjects)),
        'memories', (SELECT count(*) FROM knowledge.memories m
                     WHERE m.person_id = ANY (subjects)),
        'memory_versions', (SELECT count(*) FROM knowledge.memory_versions v
                            WHERE v.person_id = ANY (subjects)),
        'documents', (SELECT count(*) FROM knowledge.documents d
                      WHERE d.subject_id = ANY (subjects) OR d.person_id = ANY (subjects)));
END $$;

-- Every space that may hold vectors.
CREATE FUNCTION knowledge.list_spaces() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'name', s.space, 'model', s.model, 'dimension', s.dimension, 'chunker', s.chunker)
        ORDER BY s.space), '[]')
    FROM knowledge.spaces s
$$;

-- Items about subjects that stand for themselves (no pieces of documents, nothing that a memory is
-- found by), oldest first, from above a place on. Of several subjects one limited scan each is
-- merged.
CREATE FUNCTION knowledge.export_items(
    subject_ids text[], most integer,
    after_time timestamptz DEFAULT NULL, after_id uuid DEFAULT NULL
) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' SET jit = off AS $$
#variable_conflict use_column
DECLARE
    since timestamptz := coalesce(after_time, '-infinity');
    above uuid := coalesce(after_id, '00000000-0000-0000-0000-000000000000');
BEGIN
    RETURN (
        SELECT coalesce(json_agg(p.item ORDER BY p.occurred_at, p.knowledge_id), '[]')
        FROM (
            SELECT n.occurred_at, n.knowledge_id, knowledge.rendered(i, s) AS item
            FROM (
                SELECT DISTINCT u.id FROM unnest(export_items.subject_ids::uuid[]) u (id)
            ) subject
            CROSS JOIN LATERAL (
                (SELECT i.occurred_at, i.knowledge_id FROM knowledge.knowledge_items i
                 WHERE i.subject_id = subject.id AND i.deleted_at IS NULL
                   AND i.document_id IS NULL AND i.memory_id IS NULL
                   AND (i.occurred_at, i.knowledge_id) > (since, above)
                 ORDER BY i.occurred_at, i.knowledge_id LIMIT export_items.most)
                UNION ALL
                (SELECT i.occurred_at, i.knowledge_id FROM knowledge.knowledge_items i
                 WHERE i.person_id = subject.id AND i.subject_id IS NULL AND i.deleted_at IS NULL
                   AND i.document_id IS NULL AND i.memory_id IS NULL
                   AND (i.occurred_at, i.knowledge_id) > (since, above)
                 ORDER BY i.occurred_at, i.knowledge_id LIMIT export_items.most)
            ) n
            JOIN knowledge.knowledge_items i USING (knowledge_id)
            JOIN knowledge.index_states s USING (knowledge_id)
            ORDER BY n.occurred_at, n.knowledge_id LIMIT export_items.most
        ) p);
END $$;

-- Versions of memories of subjects, each memory's oldest first, from above a place on.
CREATE FUNCTION knowledge.export_memories(
    subject_ids text[], most integer,
    after_memory uuid DEFAULT NULL, after_version integer DEFAULT 0
) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(p.version ORDER BY p.memory_id, p.number), '[]')
    FROM (
        SELECT v.memory_id, v.version AS number, jsonb_build_object(
            'memory_id', v.memory_id, 'person_id', v.person_id, 'key', v.memory_key,
            'value', v.value, 'category', v.category, 'importance', v.importance,
            'metadata', v.metadata, 'source_event_id', v.source_event_id,
            'occurred_at', v.occurred_at, 'created_at', coalesce(m.created_at, v.created_at),
            'updated_at', v.created_at, 'version', v.version,
            'access_count', coalesce(m.access_count, 0),
            'last_accessed_at', m.last_accessed_at, 'is_deletion', v.is_deletion,
            'knowledge_id', m.knowledge_id, 'shadowed_by', NULL) AS version
        FROM knowledge.memory_versions v LEFT JOIN knowledge.memories m USING (memory_id)
        WHERE v.person_id = ANY (export_memories.subject_ids::uuid[])
          AND (v.memory_id, v.version) > (
              coalesce(export_memories.after_memory, '00000000-0000-0000-0000-000000000000'),
              export_memories.after_version)
        ORDER BY v.memory_id, v.version LIMIT export_memories.most
    ) p
$$;

-- Documents of subjects that are there, in order of id, from above one on.
CREATE FUNCTION knowledge.export_documents(
    subject_ids text[], most integer, after_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(p.document ORDER BY p.document_id), '[]')
    FROM (
        SELECT d.document_id, knowledge.document_rendered(d) AS document
        FROM knowledge.documents d
        WHERE (d.subject_id = ANY (export_documents.subject_ids::uuid[])
               OR d.subject_id IS NULL
                  AND d.person_id = ANY (export_documents.subject_ids::uuid[]))
          AND d.state NOT IN ('storing', 'deleting')
          AND d.document_id > coalesce(
              export_documents.after_id, '00000000-0000-0000-0000-000000000000')
        ORDER BY d.document_id LIMIT export_documents.most
    ) p
$$;
