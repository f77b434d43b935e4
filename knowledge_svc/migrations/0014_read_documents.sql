-- The queue of documents whose text is to be read. A reading is named by the revision that its claim
-- gave the document: whatever changes the document ends it, and it writes nothing any more.

-- Up to `most` documents that are due, held by `lease_owner` for a while. Answers them with
-- "attempts", how often that has been tried, this time included.
CREATE FUNCTION knowledge.claim_readings(lease_owner text, most integer, lease_ms integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    claimed uuid[];
BEGIN
    claimed := ARRAY(
        SELECT d.document_id FROM knowledge.documents d
        WHERE d.state IN ('pending', 'running') AND d.next_attempt_at <= now()
        ORDER BY d.next_attempt_at LIMIT claim_readings.most FOR UPDATE SKIP LOCKED);
    UPDATE knowledge.documents d
    SET state = 'running', revision = nextval('knowledge.revisions'), changed_at = now(),
        attempts = d.attempts + 1, lease_owner = claim_readings.lease_owner,
        next_attempt_at = now() + make_interval(secs => claim_readings.lease_ms / 1000.0)
    WHERE d.document_id = ANY (claimed);
    -- What a reading before laid aside and never showed is doomed; what this one will is hidden.
    UPDATE knowledge.hidden_readings h SET is_doomed = true
    WHERE h.document_id = ANY (claimed) AND NOT h.is_doomed;
    INSERT INTO knowledge.hidden_readings (reading, document_id)
    SELECT d.revision, d.document_id FROM knowledge.documents d
    WHERE d.document_id = ANY (claimed);
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'document', knowledge.document_rendered(d), 'attempts', d.attempts)), '[]')
        FROM knowledge.documents d WHERE d.document_id = ANY (claimed));
END $$;

-- Holds on to a reading; false where it is not to go on.
CREATE FUNCTION knowledge.renew_reading(document_id uuid, revision bigint, lease_ms integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    UPDATE knowledge.documents d
    SET next_attempt_at = now() + make_interval(secs => renew_reading.lease_ms / 1000.0)
    WHERE d.document_id = renew_reading.document_id AND d.state = 'running'
      AND d.revision = renew_reading.revision;
    RETURN to_jsonb(FOUND);
END $$;

-- Lays pieces aside, [{"chunk_number", "knowledge_id", "occurred_at", "content", "content_hash",
-- "terms", "term_counts", "term_total", "place"}]: items that the indexer may index, and that nobody
-- sees yet. False where the reading is not to go on.
CREATE FUNCTION knowledge.stage_pieces(document_id uuid, revision bigint, pieces jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    stored knowledge.documents;
BEGIN
    SELECT d.* INTO stored FROM knowledge.documents d
    WHERE d.document_id = stage_pieces.document_id;
    IF knowledge.hold_subjects(ARRAY[stored.subject_id, stored.person_id]) <> '{}' THEN
        RETURN 'false';
    END IF;
    SELECT d.* INTO stored FROM knowledge.documents d
    WHERE d.document_id = stage_pieces.document_id AND d.state = 'running'
      AND d.revision = stage_pieces.revision FOR SHARE;
    IF NOT FOUND THEN
        RETURN 'false';
    END IF;
    WITH fresh AS MATERIALIZED (
        SELECT p.*, nextval('knowledge.revisions') AS revision
        FROM (
            SELECT r.* FROM jsonb_to_recordset(stage_pieces.pieces) r (
                chunk_number integer, knowledge_id uuid, occurred_at timestamptz,
                term_total integer, content_hash bytea, terms text[], term_counts smallint[],
                place jsonb, content text)
            WHERE NOT EXISTS (SELECT FROM knowledge.knowledge_items i
                              WHERE i.knowledge_id = r.knowledge_id)
            ORDER BY r.chunk_number) p
    ), inserted AS (
        INSERT INTO knowledge.knowledge_items (
            knowledge_id, revision, occurred_at, subject_id, person_id, group_id, session_id,
            owner, term_total, namespace, platform, content_hash, body_hash, terms, term_counts,
            metadata, content, document_id, chunk_number, place, reading)
        SELECT f.knowledge_id, f.revision, coalesce(f.occurred_at, stored.occurred_at),
               stored.subject_id, stored.person_id, stored.group_id, stored.session_id,
               stored.owner, f.term_total, stored.namespace, stored.platform, f.content_hash,
               f.content_hash, f.terms, f.term_counts, stored.metadata, f.content,
               stored.document_id, f.chunk_number, f.place, stored.revision
        FROM fresh f
    )
    INSERT INTO knowledge.index_states (knowledge_id, revision)
    SELECT f.knowledge_id, f.revision FROM fresh f;
    RETURN 'true';
END $$;

-- The end of a reading that went well, {"chunks", "characters", "pages", "title", "chunker",
-- "is_indexed"}: its pieces are shown, and those of earlier versions and readings are not any more,
-- in one step. False where the reading is not to go on.
CREATE FUNCTION knowledge.finish_reading(document_id uuid, revision bigint, outline jsonb)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    stored knowledge.documents;
    told knowledge.documents := jsonb_populate_record(NULL::knowledge.documents, outline);
    pieces bigint;
BEGIN
    stored := knowledge.held_reading(finish_reading.document_id, finish_reading.revision);
    IF stored.document_id IS NULL THEN
        RETURN 'false';
    END IF;
    IF stored.state <> 'running' THEN
        RETURN 'true';  -- a repeat
    END IF;
    SELECT count(*) INTO pieces FROM knowledge.knowledge_items i
    WHERE i.document_id = stored.document_id AND i.reading = stored.revision
      AND i.deleted_at IS NULL;
    IF pieces <> told.chunks THEN
        RAISE EXCEPTION 'of % pieces % are there', told.chunks, pieces;
    END IF;
    DELETE FROM knowledge.hidden_readings h WHERE h.reading = stored.revision;
    PERFORM knowledge.doom_readings(v.id) FROM unnest(knowledge.versions_of(stored)) v (id);
    UPDATE knowledge.documents d
    SET state = 'succeeded', changed_at = now(), lease_owner = NULL, is_indexed = told.is_indexed,
        chunks = told.chunks, characters = told.characters, pages = told.pages,
        title = told.title, chunker = told.chunker, failure_reason = NULL, failure_detail = NULL,
        reading = CASE WHEN told.chunks > 0 THEN stored.revision END
    WHERE d.document_id = stored.document_id;
    RETURN 'true';
END $$;

-- The end of a reading that nothing will mend. What an earlier reading of the same bytes found stays;
-- what earlier versions said goes. False where the reading is not to go on.
CREATE FUNCTION knowledge.fail_reading(
    document_id uuid, revision bigint, reason text, detail text
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    stored knowledge.documents;
BEGIN
    stored := knowledge.held_reading(fail_reading.document_id, fail_reading.revision);
    IF stored.document_id IS NULL THEN
        RETURN 'false';
    END IF;
    IF stored.state <> 'running' THEN
        RETURN 'true';  -- a repeat
    END IF;
    UPDATE knowledge.hidden_readings h SET is_doomed = true WHERE h.reading = stored.revision;
    PERFORM knowledge.doom_readings(v.id)
    FROM unnest(array_remove(knowledge.versions_of(stored), stored.document_id)) v (id);
    UPDATE knowledge.documents d
    SET state = 'failed', changed_at = now(), lease_owner = NULL,
        failure_reason = fail_reading.reason, failure_detail = fail_reading.detail
    WHERE d.document_id = stored.document_id;
    RETURN 'true';
END $$;

-- Leaves a reading for later; one that is `blameless` does not count as a try.
CREATE FUNCTION knowledge.put_off_reading(
    document_id uuid, revision bigint, delay_ms integer, blameless boolean
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    UPDATE knowledge.documents d
    SET state = 'pending', changed_at = now(), lease_owner = NULL,
        attempts = CASE WHEN blameless THEN greatest(d.attempts - 1, 0) ELSE d.attempts END,
        next_attempt_at = now() + make_interval(secs => put_off_reading.delay_ms / 1000.0)
    WHERE d.document_id = put_off_reading.document_id AND d.state = 'running'
      AND d.revision = put_off_reading.revision;
    RETURN 'null';
END $$;

-- Has a document read anew, and answers it; an earlier version, which is not read, as it is.
-- Null where there is none.
CREATE FUNCTION knowledge.request_reading(document_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    stored knowledge.documents;
BEGIN
    SELECT d.* INTO stored FROM knowledge.documents d
    WHERE d.document_id = request_reading.document_id;
    PERFORM knowledge.refuse_erased(knowledge.hold_document(
        stored.document_id, stored.owner, stored.namespace, stored.document_key,
        stored.subject_id, stored.person_id));
    PERFORM knowledge.read_anew(ARRAY[request_reading.document_id]);
    RETURN knowledge.get_document(request_reading.document_id);
END $$;

-- How many documents are in each state, and for how long the oldest has waited to be read.
CREATE FUNCTION knowledge.document_backlog() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT jsonb_build_object(
        'states', coalesce(jsonb_object_agg(s.state, s.documents), '{}'),
        'oldest_seconds', coalesce(extract(epoch FROM now() - min(s.oldest)), 0))
    FROM (
        SELECT d.state, count(*) AS documents,
               min(d.changed_at) FILTER (WHERE d.state = 'pending') AS oldest
        FROM knowledge.documents d GROUP BY d.state) s
$$;

-- For the functions above, and others.

-- Has documents read anew, as far as they are the latest versions, and what was being read of them
-- never shown. For functions that hold the documents.
CREATE FUNCTION knowledge.read_anew(document_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    WITH asked AS (
        UPDATE knowledge.documents d
        SET state = 'pending', revision = nextval('knowledge.revisions'), changed_at = now(),
            attempts = 0, lease_owner = NULL, next_attempt_at = now(),
            failure_reason = NULL, failure_detail = NULL
        WHERE d.document_id = ANY (read_anew.document_ids) AND d.is_latest
          AND d.state IN ('pending', 'running', 'succeeded', 'failed')
        RETURNING d.document_id
    )
    UPDATE knowledge.hidden_readings h SET is_doomed = true
    FROM asked a WHERE h.document_id = a.document_id AND NOT h.is_doomed;
END $$;

-- The document of a reading that may end now, held until the end of the transaction; one that ended
-- already, too. Nothing where it is not to go on, or somebody it is about was erased.
CREATE FUNCTION knowledge.held_reading(document_id uuid, revision bigint)
RETURNS knowledge.documents
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    stored knowledge.documents;
BEGIN
    SELECT d.* INTO stored FROM knowledge.documents d
    WHERE d.document_id = held_reading.document_id;
    IF knowledge.hold_document(
           stored.document_id, stored.owner, stored.namespace, stored.document_key,
           stored.subject_id, stored.person_id) <> '{}' THEN
        RETURN NULL;
    END IF;
    SELECT d.* INTO stored FROM knowledge.documents d
    WHERE d.document_id = held_reading.document_id AND d.revision = held_reading.revision
      AND d.state IN ('running', 'succeeded', 'failed') FOR UPDATE;
    RETURN stored;
END $$;

-- All versions under a document's key, itself included.
CREATE FUNCTION knowledge.versions_of(document knowledge.documents) RETURNS uuid[]
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT CASE (document).document_key WHEN '' THEN ARRAY[(document).document_id] ELSE ARRAY(
        SELECT d.document_id FROM knowledge.documents d
        WHERE d.owner = (document).owner AND d.namespace = (document).namespace
          AND d.document_key = (document).document_key ORDER BY 1) END
$$;
