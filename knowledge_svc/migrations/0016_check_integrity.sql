-- What a census of the three stores reads, in pages by key, and what mends what it finds. Whatever
-- mends looks again in the same transaction: a write since the census is never overruled.
-- Answers in order of the requests say `queued`, `lost` or `gone` (mended, changed or not there).

-- Vectors without an item, since when they are known to be that, in which space; a deleted item's may
-- go at once, of another one it takes two looks a grace period apart.
CREATE TABLE knowledge.suspects (
    space            text COLLATE "C" NOT NULL,
    knowledge_id     uuid NOT NULL,
    first_seen       timestamptz NOT NULL DEFAULT now(),
    last_seen        timestamptz NOT NULL DEFAULT now(),
    -- Somebody is about to remove the vector.
    is_condemned     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (space, knowledge_id)
);

ALTER TABLE knowledge.suspects ENABLE ROW LEVEL SECURITY;

-- Whether somebody is at a row just now. A lease that ends later than any does is a fault itself.
CREATE FUNCTION knowledge.is_held(lease_owner text, next_attempt_at timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT lease_owner IS NOT NULL
       AND next_attempt_at > now() AND next_attempt_at <= now() + interval '15 minutes'
$$;

-- Whether somebody is at a document: also uploads are, until their grace ends.
CREATE FUNCTION knowledge.is_document_held(document knowledge.documents)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT knowledge.is_held(
        CASE (document).state WHEN 'storing' THEN 'upload' ELSE (document).lease_owner END,
        (document).next_attempt_at)
$$;

-- Whether an item is a piece that nobody is to see, not yet or not any more: the readings' business.
CREATE FUNCTION knowledge.is_set_aside(item knowledge.knowledge_items)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (item).reading IS NOT NULL AND EXISTS (
        SELECT FROM knowledge.hidden_readings h WHERE h.reading = (item).reading)
$$;

-- An item as a census looks at it; without a state nobody knows that it waits.
CREATE FUNCTION knowledge.census_item(
    item knowledge.knowledge_items, index_state knowledge.index_states
) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'knowledge_id', (item).knowledge_id, 'revision', (item).revision,
        'namespace', (item).namespace, 'occurred_at', (item).occurred_at,
        'subject_id', (item).subject_id, 'group_id', (item).group_id,
        'session_id', (item).session_id,
        'content_hash', encode(sha256(convert_to((item).content, 'UTF8')), 'hex'),
        'is_deleting', (item).deleted_at IS NOT NULL,
        'state', (index_state).state, 'indexed_revision', (index_state).revision,
        'model', (index_state).embedding_model, 'attempts', coalesce((index_state).attempts, 0),
        'error', (index_state).last_error,
        'is_held', coalesce(knowledge.is_held(
            (index_state).lease_owner, (index_state).next_attempt_at), false),
        'waited_seconds', extract(epoch FROM now() - coalesce(
            (item).deleted_at, (index_state).pending_since, (item).updated_at,
            (item).created_at)))
$$;

-- The items among the next `most` by id, {"items", "after"}; `after` is null at the end.
CREATE FUNCTION knowledge.census_items(
    after text, most integer, namespaces text[] DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    page uuid[] := ARRAY(
        SELECT i.knowledge_id FROM knowledge.knowledge_items i
        WHERE i.knowledge_id > coalesce(
            census_items.after::uuid, '00000000-0000-0000-0000-000000000000')
        ORDER BY i.knowledge_id LIMIT census_items.most);
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'items', coalesce(jsonb_agg(knowledge.census_item(i, s) ORDER BY i.knowledge_id), '[]'),
            'after', CASE WHEN cardinality(page) = census_items.most
                          THEN page[census_items.most] END)
        FROM knowledge.knowledge_items i
        LEFT JOIN knowledge.index_states s USING (knowledge_id)
        WHERE i.knowledge_id = ANY (page) AND NOT knowledge.is_set_aside(i)
          AND (census_items.namespaces IS NULL OR i.namespace = ANY (census_items.namespaces)));
END $$;

-- Those of the items that are there, in no order.
CREATE FUNCTION knowledge.census_items_again(ids text[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(knowledge.census_item(i, s)), '[]')
    FROM knowledge.knowledge_items i LEFT JOIN knowledge.index_states s USING (knowledge_id)
    WHERE i.knowledge_id = ANY (census_items_again.ids::uuid[])
      AND NOT knowledge.is_set_aside(i)
$$;

-- Those of the ids that no row has, not even one that is being deleted,
-- [{"knowledge_id", "is_deleted"}], in no order.
CREATE FUNCTION knowledge.census_strangers(ids text[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'knowledge_id', a.id, 'is_deleted', d.knowledge_id IS NOT NULL)), '[]')
    FROM unnest(census_strangers.ids) a (id)
    LEFT JOIN knowledge.deleted_ids d ON d.knowledge_id = a.id::uuid
    WHERE NOT EXISTS (SELECT FROM knowledge.knowledge_items i WHERE i.knowledge_id = a.id::uuid)
$$;

-- Documents as a census looks at them, with how many pieces of the reading that is shown there are,
-- and how they are numbered.
CREATE FUNCTION knowledge.census_documents_of(ids uuid[]) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'document_id', d.document_id, 'revision', d.revision, 'state', d.state,
                   'changed_at', d.changed_at, 'blob_key', d.blob_key, 'size', d.size,
                   'sha256', encode(d.sha256, 'hex'), 'is_latest', d.is_latest,
                   'chunks', d.chunks, 'failure_reason', d.failure_reason,
                   'is_held', knowledge.is_document_held(d),
                   'waited_seconds', extract(epoch FROM now() - d.changed_at),
                   'pieces', coalesce(p.pieces, 0), 'numbers', coalesce(p.numbers, 0),
                   'first_number', p.first_number, 'last_number', p.last_number)
               ORDER BY d.document_id), '[]')
        FROM knowledge.documents d
        LEFT JOIN (
            SELECT i.document_id, i.reading, count(*) AS pieces,
                   count(DISTINCT i.chunk_number) AS numbers,
                   min(i.chunk_number) AS first_number, max(i.chunk_number) AS last_number
            FROM knowledge.knowledge_items i
            WHERE i.document_id = ANY (census_documents_of.ids) AND i.deleted_at IS NULL
            GROUP BY i.document_id, i.reading
        ) p ON p.document_id = d.document_id AND p.reading IS NOT DISTINCT FROM d.reading
        WHERE d.document_id = ANY (census_documents_of.ids));
END $$;

-- The documents among the next `most` by id, {"documents", "after"}; `after` is null at the end.
CREATE FUNCTION knowledge.census_documents(
    after text, most integer, namespaces text[] DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    page uuid[] := ARRAY(
        SELECT d.document_id FROM knowledge.documents d
        WHERE d.document_id > coalesce(
            census_documents.after::uuid, '00000000-0000-0000-0000-000000000000')
        ORDER BY d.document_id LIMIT census_documents.most);
BEGIN
    RETURN jsonb_build_object(
        'documents', knowledge.census_documents_of(ARRAY(
            SELECT d.document_id FROM knowledge.documents d
            WHERE d.document_id = ANY (page)
              AND (census_documents.namespaces IS NULL
                   OR d.namespace = ANY (census_documents.namespaces)))),
        'after', CASE WHEN cardinality(page) = census_documents.most
                      THEN page[census_documents.most] END);
END $$;

-- Those of the documents that are there, in order of id.
CREATE FUNCTION knowledge.census_documents_again(ids text[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT knowledge.census_documents_of(census_documents_again.ids::uuid[])
$$;

-- Those of the keys, in order, under which no document has its file.
CREATE FUNCTION knowledge.census_strange_files(keys text[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(k.key ORDER BY k.place), '[]')
    FROM unnest(census_strange_files.keys) WITH ORDINALITY k (key, place)
    WHERE NOT EXISTS (SELECT FROM knowledge.documents d WHERE d.blob_key = k.key)
$$;

-- About how many items and documents there are, without counting; 0 where nobody knows.
CREATE FUNCTION knowledge.census_totals() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT jsonb_object_agg(c.relname, greatest(c.reltuples, 0)::bigint)
    FROM pg_catalog.pg_class c
    WHERE c.oid IN ('knowledge.knowledge_items'::regclass, 'knowledge.documents'::regclass)
$$;

-- Has the indexer take up items anew, [{"knowledge_id", "revision"}], that are still of this write.
-- What waits already goes on waiting, and is due at once unless somebody is at it.
CREATE FUNCTION knowledge.repair_items(writes jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO knowledge.index_states (knowledge_id, revision)
    SELECT i.knowledge_id, i.revision
    FROM knowledge.knowledge_items i
    JOIN jsonb_to_recordset(repair_items.writes) w (knowledge_id uuid, revision bigint)
        USING (knowledge_id, revision)
    WHERE i.deleted_at IS NULL AND NOT knowledge.is_set_aside(i)
    ORDER BY i.knowledge_id
    ON CONFLICT DO NOTHING;
    -- A later write or a deletion changes the item first and then waits here, or is seen below.
    PERFORM FROM knowledge.index_states s
    WHERE s.knowledge_id = ANY (ARRAY(
        SELECT (w ->> 'knowledge_id')::uuid FROM jsonb_array_elements(repair_items.writes) w))
    ORDER BY s.knowledge_id FOR UPDATE;
    UPDATE knowledge.index_states s
    SET state = 'pending', revision = i.revision, lease_owner = NULL, next_attempt_at = now(),
        attempts = CASE WHEN s.state = 'pending' THEN s.attempts ELSE 0 END,
        last_error = CASE WHEN s.state = 'pending' THEN s.last_error END, failed_at = NULL,
        pending_since = CASE WHEN s.state = 'pending' THEN s.pending_since ELSE now() END
    FROM knowledge.knowledge_items i
    JOIN jsonb_to_recordset(repair_items.writes) w (knowledge_id uuid, revision bigint)
        USING (knowledge_id, revision)
    WHERE s.knowledge_id = i.knowledge_id AND i.deleted_at IS NULL
      AND NOT knowledge.is_set_aside(i)
      AND (s.state IN ('indexed', 'failed')
           OR (s.state = 'pending' AND s.next_attempt_at > now()
               AND NOT knowledge.is_held(s.lease_owner, s.next_attempt_at)));
    RETURN (
        SELECT coalesce(jsonb_agg(
            CASE WHEN s.state = 'pending' AND i.revision = (w.value -> 'revision')::bigint
                 THEN 'queued' ELSE 'gone' END ORDER BY w.place), '[]')
        FROM jsonb_array_elements(repair_items.writes) WITH ORDINALITY w (value, place)
        LEFT JOIN knowledge.knowledge_items i
            ON i.knowledge_id = (w.value ->> 'knowledge_id')::uuid AND i.deleted_at IS NULL
        LEFT JOIN knowledge.index_states s ON s.knowledge_id = i.knowledge_id);
END $$;

-- Has the queue go on with deletions of items that were begun and not finished.
CREATE FUNCTION knowledge.repair_deletions(ids text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO knowledge.index_states (knowledge_id, revision, state)
    SELECT i.knowledge_id, i.revision, 'deleting' FROM knowledge.knowledge_items i
    WHERE i.knowledge_id = ANY (repair_deletions.ids::uuid[]) AND i.deleted_at IS NOT NULL
    ORDER BY i.knowledge_id
    ON CONFLICT DO NOTHING;
    PERFORM FROM knowledge.index_states s
    WHERE s.knowledge_id = ANY (repair_deletions.ids::uuid[])
    ORDER BY s.knowledge_id FOR UPDATE;
    UPDATE knowledge.index_states s
    SET state = 'deleting', lease_owner = NULL, next_attempt_at = now(),
        pending_since = CASE WHEN s.state = 'deleting' THEN s.pending_since ELSE now() END
    FROM knowledge.knowledge_items i
    WHERE s.knowledge_id = ANY (repair_deletions.ids::uuid[])
      AND i.knowledge_id = s.knowledge_id AND i.deleted_at IS NOT NULL
      AND (s.state <> 'deleting' OR s.next_attempt_at > now())
      AND NOT knowledge.is_held(s.lease_owner, s.next_attempt_at);
    RETURN (
        SELECT coalesce(jsonb_agg(
            CASE WHEN i.deleted_at IS NULL THEN 'gone' ELSE 'queued' END ORDER BY a.place), '[]')
        FROM unnest(repair_deletions.ids) WITH ORDINALITY a (id, place)
        LEFT JOIN knowledge.knowledge_items i ON i.knowledge_id = a.id::uuid);
END $$;

-- Has the queue take up documents anew, [{"document_id", "revision", "state"}], that are still of
-- this write and in this state: texts are read again, as on request, uploads and deletions finished.
CREATE FUNCTION knowledge.repair_documents(writes jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    asked uuid[] := ARRAY(
        SELECT (w ->> 'document_id')::uuid FROM jsonb_array_elements(repair_documents.writes) w);
    readable uuid[] := knowledge.hold_documents(asked);
    due uuid[];
    mended uuid[];
BEGIN
    due := ARRAY(
        SELECT d.document_id
        FROM knowledge.documents d
        JOIN jsonb_to_recordset(repair_documents.writes) w (
            document_id uuid, revision bigint, state text) USING (document_id, revision, state)
        WHERE NOT knowledge.is_document_held(d)
        ORDER BY d.document_id FOR UPDATE OF d);
    mended := ARRAY(
        SELECT d.document_id FROM knowledge.documents d
        WHERE d.document_id = ANY (due) AND (
            d.state IN ('storing', 'deleting')
            OR d.state IN ('pending', 'running', 'succeeded') AND d.is_latest
               AND d.document_id = ANY (readable)));
    PERFORM knowledge.read_anew(ARRAY(
        SELECT d.document_id FROM knowledge.documents d
        WHERE d.document_id = ANY (mended) AND d.state IN ('pending', 'running', 'succeeded')));
    UPDATE knowledge.documents d
    -- A file that a repair was removing is for the next repair to remove.
    SET lease_owner = CASE WHEN starts_with(d.lease_owner, 'repair ') THEN d.lease_owner END,
        next_attempt_at = now()
    WHERE d.document_id = ANY (mended) AND d.state IN ('storing', 'deleting');
    RETURN (
        SELECT coalesce(jsonb_agg(
            -- Also of a repeat.
            CASE WHEN a.id = ANY (mended) OR d.state = 'pending' AND d.next_attempt_at <= now()
                 THEN 'queued' ELSE 'gone' END ORDER BY a.place), '[]')
        FROM unnest(asked) WITH ORDINALITY a (id, place)
        LEFT JOIN knowledge.documents d ON d.document_id = a.id);
END $$;

-- Says that the originals of documents, [{"document_id", "revision", "detail"}], are lost, as
-- somebody who reads them would: their pieces stay, and are found as before; what is being read is
-- not shown, nor is what earlier versions said.
CREATE FUNCTION knowledge.repair_lost(writes jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    asked uuid[] := ARRAY(
        SELECT (w ->> 'document_id')::uuid FROM jsonb_array_elements(repair_lost.writes) w);
    lost uuid[];
BEGIN
    PERFORM knowledge.hold_documents(asked);
    WITH marked AS (
        UPDATE knowledge.documents d
        SET state = 'failed', revision = nextval('knowledge.revisions'), changed_at = now(),
            failure_reason = 'FILE_LOST', failure_detail = w.detail, lease_owner = NULL
        FROM jsonb_to_recordset(repair_lost.writes) w (
            document_id uuid, revision bigint, detail text)
        WHERE d.document_id = w.document_id AND d.revision = w.revision
          AND d.state IN ('pending', 'running', 'succeeded', 'failed')
        RETURNING d.document_id
    )
    SELECT array_agg(m.document_id) INTO lost FROM marked m;
    UPDATE knowledge.hidden_readings h SET is_doomed = true
    WHERE h.document_id = ANY (lost) AND NOT h.is_doomed;
    PERFORM knowledge.doom_readings(v.id)
    FROM knowledge.documents d
    CROSS JOIN LATERAL unnest(knowledge.versions_of(d)) v (id)
    WHERE d.document_id = ANY (lost) AND d.is_latest AND v.id <> d.document_id;
    RETURN (
        SELECT coalesce(jsonb_agg(
            -- Also of a repeat.
            CASE WHEN d.state = 'failed' AND d.failure_reason = 'FILE_LOST'
                 THEN 'lost' ELSE 'gone' END ORDER BY a.place), '[]')
        FROM unnest(asked) WITH ORDINALITY a (id, place)
        LEFT JOIN knowledge.documents d ON d.document_id = a.id);
END $$;

-- Notes that vectors have no item; answers since how many seconds each is known,
-- [{"knowledge_id", "seconds"}].
CREATE FUNCTION knowledge.note_suspects(space text, ids text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO knowledge.suspects AS s (space, knowledge_id)
    SELECT DISTINCT note_suspects.space, a.id::uuid FROM unnest(note_suspects.ids) a (id)
    ORDER BY 2
    ON CONFLICT (space, knowledge_id) DO UPDATE SET last_seen = now();
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'knowledge_id', s.knowledge_id,
                   'seconds', extract(epoch FROM now() - s.first_seen))), '[]')
        FROM knowledge.suspects s
        WHERE s.space = note_suspects.space
          AND s.knowledge_id = ANY (note_suspects.ids::uuid[]));
END $$;

-- How long suspects are known, as `note_suspects` answers, without a note of it.
CREATE FUNCTION knowledge.known_suspects(space text, ids text[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'knowledge_id', s.knowledge_id,
               'seconds', extract(epoch FROM now() - s.first_seen))), '[]')
    FROM knowledge.suspects s
    WHERE s.space = known_suspects.space AND s.knowledge_id = ANY (known_suspects.ids::uuid[])
$$;

-- First step of removing vectors: those that no row has, and that were deleted or are suspects for
-- longer than the grace period. Answers which they are; `settle_suspects` is the last step,
-- also after a crash.
CREATE FUNCTION knowledge.condemn_suspects(space text, ids text[], grace_seconds integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    condemned jsonb;
BEGIN
    WITH chosen AS (
        SELECT DISTINCT a.id::uuid AS knowledge_id FROM unnest(condemn_suspects.ids) a (id)
        LEFT JOIN knowledge.suspects s
            ON s.space = condemn_suspects.space AND s.knowledge_id = a.id::uuid
        WHERE NOT EXISTS (
                SELECT FROM knowledge.knowledge_items i WHERE i.knowledge_id = a.id::uuid)
          AND (EXISTS (SELECT FROM knowledge.deleted_ids d WHERE d.knowledge_id = a.id::uuid)
               OR s.first_seen <= now() - make_interval(secs => condemn_suspects.grace_seconds))
        ORDER BY 1
    ), noted AS (
        INSERT INTO knowledge.suspects (space, knowledge_id, is_condemned)
        SELECT condemn_suspects.space, c.knowledge_id, true FROM chosen c
        ON CONFLICT (space, knowledge_id) DO UPDATE SET is_condemned = true, last_seen = now()
        RETURNING knowledge_id
    )
    SELECT coalesce(jsonb_agg(n.knowledge_id), '[]') INTO condemned FROM noted n;
    RETURN condemned;
END $$;

-- Last step: the vectors are gone. Where an item came in the very moment, its vector may have gone
-- with them: it is a new write then, so that whoever indexes it now does so again. Without `ids`:
-- what a repair left that died. Answers how many items those were.
CREATE FUNCTION knowledge.settle_suspects(space text, ids text[] DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    settled uuid[] := coalesce(settle_suspects.ids::uuid[], ARRAY(
        SELECT s.knowledge_id FROM knowledge.suspects s
        WHERE s.space = settle_suspects.space AND s.is_condemned
          AND s.last_seen < now() - interval '1 minute'
        ORDER BY s.knowledge_id LIMIT 1000));
    renewed integer;
BEGIN
    PERFORM FROM knowledge.knowledge_items i WHERE i.knowledge_id = ANY (settled)
    ORDER BY i.knowledge_id FOR UPDATE;
    PERFORM FROM knowledge.index_states s WHERE s.knowledge_id = ANY (settled)
    ORDER BY s.knowledge_id FOR UPDATE;
    WITH item AS (
        UPDATE knowledge.knowledge_items i SET revision = nextval('knowledge.revisions')
        WHERE i.knowledge_id = ANY (settled) AND i.deleted_at IS NULL
        RETURNING i.knowledge_id, i.revision
    )
    UPDATE knowledge.index_states s
    SET revision = i.revision, state = 'pending', attempts = 0, last_error = NULL,
        failed_at = NULL, lease_owner = NULL, next_attempt_at = now(), pending_since = now()
    FROM item i WHERE s.knowledge_id = i.knowledge_id;
    GET DIAGNOSTICS renewed = ROW_COUNT;
    DELETE FROM knowledge.suspects s
    WHERE s.space = settle_suspects.space AND s.knowledge_id = ANY (settled);
    RETURN to_jsonb(renewed);
END $$;

-- Forgets suspects that a whole walk of so many seconds has not met again.
CREATE FUNCTION knowledge.forget_suspects(space text, unseen_seconds integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    DELETE FROM knowledge.suspects s
    WHERE s.space = forget_suspects.space AND NOT s.is_condemned
      AND s.last_seen < now() - make_interval(secs => forget_suspects.unseen_seconds);
    RETURN 'null';
END $$;

-- Removes vectors on pgvector, unless a row has the id. Whoever stores and indexes such an id
-- meanwhile has committed the row before the vector: so once the vectors are locked, either the row
-- is seen, or its vector comes after this.
CREATE FUNCTION knowledge.discard_vectors(space text, ids text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    name text := 'vectors_' || discard_vectors.space;
    held uuid[];
BEGIN
    EXECUTE format(
        'SELECT coalesce(array_agg(v.knowledge_id), ''{}'') FROM (
             SELECT knowledge_id FROM knowledge.%I WHERE knowledge_id = ANY ($1::uuid[])
             ORDER BY knowledge_id FOR UPDATE) v', name)
    INTO held USING discard_vectors.ids;
    EXECUTE format(
        'DELETE FROM knowledge.%I v WHERE v.knowledge_id = ANY ($1) AND NOT EXISTS (
             SELECT FROM knowledge.knowledge_items i WHERE i.knowledge_id = v.knowledge_id)', name)
    USING held;
    RETURN 'null';
END $$;

-- First step of removing files, [{"key", "document_id", "size"}]: each becomes a document under
-- deletion, so that nobody can upload under its key meanwhile, and somebody finishes it after a
-- crash. A key that a document has is left alone. Answers the keys that `owner` is to remove, among
-- them those of repairs that died.
CREATE FUNCTION knowledge.adopt_files(files jsonb, owner text, lease_ms integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    holder text := 'repair ' || adopt_files.owner;
    until timestamptz := now() + make_interval(secs => adopt_files.lease_ms / 1000.0);
BEGIN
    INSERT INTO knowledge.documents (
        document_id, revision, occurred_at, owner, size, version, is_latest, state, namespace,
        document_key, filename, media_type, blob_key, sha256, metadata, next_attempt_at,
        lease_owner)
    SELECT CASE WHEN f.document_id IS NULL OR EXISTS (
                    SELECT FROM knowledge.documents d WHERE d.document_id = f.document_id)
                THEN gen_random_uuid() ELSE f.document_id END,
           nextval('knowledge.revisions'), now(), '00000000-0000-0000-0000-000000000000',
           f.size, 1, false, 'deleting', '', '', '', '', f.key, '', '{}', until, holder
    FROM jsonb_to_recordset(adopt_files.files) f (key text, document_id uuid, size bigint)
    ORDER BY f.key
    ON CONFLICT DO NOTHING;
    UPDATE knowledge.documents d SET lease_owner = holder, next_attempt_at = until
    FROM (
        SELECT o.document_id FROM knowledge.documents o
        WHERE o.state = 'deleting' AND starts_with(o.lease_owner, 'repair ')
          AND o.next_attempt_at <= now()
        ORDER BY o.document_id LIMIT 500 FOR UPDATE SKIP LOCKED
    ) left_over
    WHERE d.document_id = left_over.document_id;
    RETURN (
        SELECT coalesce(jsonb_agg(d.blob_key), '[]') FROM knowledge.documents d
        WHERE d.state = 'deleting' AND d.lease_owner = holder);
END $$;

-- Last step: the files are gone.
CREATE FUNCTION knowledge.forget_files(keys text[], owner text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM knowledge.documents d
    WHERE d.blob_key = ANY (forget_files.keys) AND d.state = 'deleting'
      AND d.lease_owner = 'repair ' || forget_files.owner;
    RETURN 'null';
END $$;

-- What Postgres holds of an item or a document: {"item", "look", "queue", "deleted_at", "document",
-- "document_look", "spaces"}, each null where there is nothing.
CREATE FUNCTION knowledge.ground_truth(id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT jsonb_build_object(
        'item', CASE WHEN i.knowledge_id IS NOT NULL THEN knowledge.rendered(i, s) END,
        'look', CASE WHEN i.knowledge_id IS NOT NULL THEN knowledge.census_item(i, s) END,
        'queue', CASE WHEN s.knowledge_id IS NOT NULL THEN to_jsonb(s) END,
        'deleted_at', coalesce(i.deleted_at, d.deleted_at),
        'document', CASE WHEN o.document_id IS NOT NULL
                         THEN knowledge.document_rendered(o) END,
        'document_look', knowledge.census_documents_of(ARRAY[o.document_id]) -> 0,
        'spaces', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                       'name', p.space, 'model', p.model, 'dimension', p.dimension,
                       'chunker', p.chunker, 'is_serving', p.state = 'serving')
                   ORDER BY p.state = 'serving' DESC, p.space), '[]')
            FROM knowledge.spaces p))
    FROM (SELECT ground_truth.id) asked (id)
    LEFT JOIN knowledge.knowledge_items i ON i.knowledge_id = asked.id
    LEFT JOIN knowledge.index_states s ON s.knowledge_id = asked.id
    LEFT JOIN knowledge.deleted_ids d ON d.knowledge_id = asked.id
    LEFT JOIN knowledge.documents o ON o.document_id = coalesce(i.document_id, asked.id)
$$;

-- Up to `most` ids of the pieces that a document shows above `after`, in order.
CREATE FUNCTION knowledge.piece_ids(document_id uuid, after text, most integer) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(p.knowledge_id ORDER BY p.knowledge_id), '[]')
    FROM (
        SELECT i.knowledge_id
        FROM knowledge.knowledge_items i JOIN knowledge.documents d USING (document_id)
        WHERE i.document_id = piece_ids.document_id AND i.deleted_at IS NULL
          AND i.reading IS NOT DISTINCT FROM d.reading
          AND (piece_ids.after IS NULL OR i.knowledge_id > piece_ids.after::uuid)
        ORDER BY i.knowledge_id LIMIT piece_ids.most) p
$$;
