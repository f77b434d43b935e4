-- Documents: uploads, versions, lists, deletions, and the key that signs links to them.
-- ZK002: somebody the write is about was erased; {"subject_id"}.
--
-- What touches versions takes locks in one order: subjects, then the key, then rows.

ALTER TABLE knowledge.documents
    -- The call that stored it, or deletes it, so that it can be repeated.
    ADD COLUMN request_id uuid,
    -- The uploads that may be putting its file just now.
    ADD COLUMN uploads uuid[] NOT NULL DEFAULT '{}',
    -- The reading whose pieces are shown; null where none are.
    ADD COLUMN reading bigint;

-- An item, or null.
CREATE OR REPLACE FUNCTION knowledge.get_item(knowledge_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT knowledge.rendered(i, s)::jsonb
    FROM knowledge.knowledge_items i JOIN knowledge.index_states s USING (knowledge_id)
    WHERE i.knowledge_id = get_item.knowledge_id AND i.deleted_at IS NULL
      AND NOT EXISTS (SELECT FROM knowledge.hidden_readings h WHERE h.reading = i.reading)
$$;

-- What signs links to files, the same for all replicas.
CREATE TABLE knowledge.signing_keys (
    name             text COLLATE "C" PRIMARY KEY,
    value            text NOT NULL
);

ALTER TABLE knowledge.signing_keys ENABLE ROW LEVEL SECURITY;

-- A document as the service reads it.
CREATE FUNCTION knowledge.document_rendered(document knowledge.documents) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT jsonb_build_object(
        'document_id', (document).document_id, 'revision', (document).revision,
        'namespace', (document).namespace, 'document_key', (document).document_key,
        'version', (document).version, 'is_latest', (document).is_latest,
        'filename', (document).filename, 'media_type', (document).media_type,
        'blob_key', (document).blob_key, 'size', (document).size,
        'sha256', encode((document).sha256, 'hex'), 'metadata', (document).metadata,
        'subject_id', (document).subject_id, 'person_id', (document).person_id,
        'group_id', (document).group_id, 'session_id', (document).session_id,
        'platform', (document).platform, 'occurred_at', (document).occurred_at,
        'created_at', (document).created_at, 'changed_at', (document).changed_at,
        'state', (document).state, 'is_indexed', (document).is_indexed,
        'chunks', (document).chunks, 'pages', (document).pages, 'title', (document).title,
        'chunker', (document).chunker, 'failure_reason', (document).failure_reason,
        'failure_detail', (document).failure_detail)
$$;

-- What those who write about the versions of a key lock.
CREATE FUNCTION knowledge.document_lock(
    document_id uuid, owner uuid, namespace text, document_key text
) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtext(CASE document_key
        WHEN '' THEN document_id::text
        ELSE jsonb_build_array(owner, namespace, document_key)::text END)
$$;

-- Those who write about the versions of a key, or where there is none about one document, go one
-- after the other; and not after the subject's erasure.
CREATE FUNCTION knowledge.hold_document(
    document_id uuid, owner uuid, namespace text, document_key text, subject_id uuid, person_id uuid
) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
DECLARE
    erased uuid[] := knowledge.hold_subjects(ARRAY[hold_document.subject_id, hold_document.person_id]);
BEGIN
    PERFORM pg_advisory_xact_lock(1802204022, knowledge.document_lock(
        hold_document.document_id, hold_document.owner, hold_document.namespace,
        hold_document.document_key));
    RETURN erased;
END $$;

-- Holds many documents at once, as `hold_document` does; answers those that are there, about whom
-- nobody was erased.
CREATE FUNCTION knowledge.hold_documents(document_ids uuid[]) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    erased uuid[] := knowledge.hold_subjects(ARRAY(
        SELECT s.id
        FROM knowledge.documents d
        CROSS JOIN LATERAL (VALUES (d.subject_id), (d.person_id)) s (id)
        WHERE d.document_id = ANY (hold_documents.document_ids) AND s.id IS NOT NULL));
BEGIN
    PERFORM pg_advisory_xact_lock(1802204022, l.lock)
    FROM (
        SELECT DISTINCT knowledge.document_lock(
            d.document_id, d.owner, d.namespace, d.document_key) AS lock
        FROM knowledge.documents d WHERE d.document_id = ANY (hold_documents.document_ids)
        ORDER BY lock
    ) l;
    RETURN ARRAY(
        SELECT d.document_id FROM knowledge.documents d
        WHERE d.document_id = ANY (hold_documents.document_ids)
          AND coalesce(d.subject_id <> ALL (erased), true)
          AND coalesce(d.person_id <> ALL (erased), true)
        ORDER BY d.document_id FOR UPDATE);
END $$;

CREATE FUNCTION knowledge.refuse_erased(erased uuid[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
BEGIN
    IF cardinality(erased) > 0 THEN
        RAISE EXCEPTION 'the subject was erased' USING
            ERRCODE = 'ZK002', DETAIL = jsonb_build_object('subject_id', erased[1]);
    END IF;
END $$;

-- Hides what a document shows, and dooms it with all that its readings have laid aside.
CREATE FUNCTION knowledge.doom_readings(document_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO knowledge.hidden_readings (reading, document_id)
    SELECT d.reading, d.document_id FROM knowledge.documents d
    WHERE d.document_id = doom_readings.document_id AND d.reading IS NOT NULL
    ON CONFLICT DO NOTHING;
    UPDATE knowledge.documents d SET reading = NULL, is_indexed = false, chunks = 0
    WHERE d.document_id = doom_readings.document_id AND d.reading IS NOT NULL;
    UPDATE knowledge.hidden_readings h SET is_doomed = true
    WHERE h.document_id = doom_readings.document_id AND NOT h.is_doomed;
END $$;

-- Takes away up to `most` pieces of a doomed reading: they are in the indexer's queue then, like any
-- other deletion. Answers how many; less than `most` where nothing is left of it.
CREATE FUNCTION knowledge.drop_pieces(most integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    doomed knowledge.hidden_readings;
    found uuid[];
BEGIN
    SELECT h.* INTO doomed FROM knowledge.hidden_readings h
    WHERE h.is_doomed ORDER BY h.reading LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF doomed.reading IS NULL THEN
        RETURN 'null';
    END IF;
    found := ARRAY(
        SELECT i.knowledge_id FROM knowledge.knowledge_items i
        WHERE i.knowledge_id = ANY (ARRAY(
            SELECT p.knowledge_id FROM knowledge.knowledge_items p
            WHERE p.document_id = doomed.document_id AND p.reading = doomed.reading
              AND p.deleted_at IS NULL LIMIT drop_pieces.most))
        ORDER BY i.knowledge_id FOR UPDATE);
    INSERT INTO knowledge.deleted_ids (knowledge_id, request_id)
    SELECT f.id, doomed.document_id FROM unnest(found) f (id) ORDER BY 1
    ON CONFLICT DO NOTHING;
    UPDATE knowledge.knowledge_items i SET deleted_at = now() WHERE i.knowledge_id = ANY (found);
    UPDATE knowledge.index_states s
    SET state = 'deleting', pending_since = now(), attempts = 0,
        lease_owner = CASE WHEN held.by_indexer THEN s.lease_owner END,
        next_attempt_at = CASE WHEN held.by_indexer THEN s.next_attempt_at ELSE now() END
    FROM (
        SELECT h.knowledge_id, h.state = 'pending' AND h.lease_owner IS NOT NULL
               AND h.next_attempt_at > now() AS by_indexer
        FROM knowledge.index_states h WHERE h.knowledge_id = ANY (found)
        ORDER BY h.knowledge_id FOR UPDATE
    ) held
    WHERE s.knowledge_id = held.knowledge_id;
    IF cardinality(found) < drop_pieces.most THEN
        DELETE FROM knowledge.hidden_readings h WHERE h.reading = doomed.reading;
    END IF;
    RETURN to_jsonb(cardinality(found));
END $$;

-- Makes the highest version that is there the latest: it is to be read then, and no other is.
-- For other functions, which hold the document.
CREATE FUNCTION knowledge.settle_versions(document knowledge.documents) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    latest uuid;
BEGIN
    SELECT d.document_id INTO latest FROM knowledge.documents d
    WHERE d.owner = (document).owner AND d.namespace = (document).namespace
      AND d.document_key = (document).document_key
      AND ((document).document_key <> '' OR d.document_id = (document).document_id)
      AND d.state NOT IN ('storing', 'deleting')
    ORDER BY d.version DESC LIMIT 1;

    -- What it shows is shown until the latest is read; what it was about to show never is.
    WITH superseded AS (
        UPDATE knowledge.documents d
        SET is_latest = false, revision = nextval('knowledge.revisions'), changed_at = now(),
            state = CASE WHEN d.state IN ('pending', 'running') THEN 'succeeded' ELSE d.state END
        WHERE d.owner = (document).owner AND d.namespace = (document).namespace
          AND d.document_key = (document).document_key AND d.document_key <> ''
          AND d.is_latest AND d.document_id <> latest
        RETURNING d.document_id
    )
    UPDATE knowledge.hidden_readings h SET is_doomed = true
    FROM superseded s WHERE h.document_id = s.document_id AND NOT h.is_doomed;
    UPDATE knowledge.documents d
    SET is_latest = true, revision = nextval('knowledge.revisions'), changed_at = now(),
        state = 'pending', attempts = 0, next_attempt_at = now(),
        failure_reason = NULL, failure_detail = NULL
    WHERE d.document_id = latest AND NOT d.is_latest;
END $$;

-- First step of the upload `request_id`: the record, which nobody sees. Answers it, or the one that is
-- there: in state `storing` the file is to be put under its blob key; `deleting` is to be waited for.
-- After `grace_ms` it counts as given up.
CREATE FUNCTION knowledge.begin_document(document jsonb, request_id uuid, grace_ms integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    given knowledge.documents := jsonb_populate_record(NULL::knowledge.documents, document);
    stored knowledge.documents;
    until timestamptz := now() + make_interval(secs => begin_document.grace_ms / 1000.0);
BEGIN
    PERFORM knowledge.refuse_erased(knowledge.hold_document(
        given.document_id, given.owner, given.namespace, given.document_key, given.subject_id,
        given.person_id));
    UPDATE knowledge.documents d
    SET next_attempt_at = CASE d.state WHEN 'storing' THEN until ELSE d.next_attempt_at END,
        uploads = CASE d.state
            WHEN 'storing' THEN array_remove(d.uploads, begin_document.request_id)
                                || begin_document.request_id
            ELSE d.uploads END
    WHERE d.document_id = given.document_id RETURNING d.* INTO stored;
    IF NOT FOUND THEN
        INSERT INTO knowledge.documents (
            document_id, revision, occurred_at, subject_id, person_id, group_id, session_id,
            owner, size, version, is_latest, state, namespace, platform, document_key, filename,
            media_type, blob_key, sha256, metadata, next_attempt_at, uploads)
        SELECT given.document_id, nextval('knowledge.revisions'), coalesce(given.occurred_at, now()),
               given.subject_id, given.person_id, given.group_id, given.session_id, given.owner,
               given.size, 1 + coalesce((
                   SELECT max(d.version) FROM knowledge.documents d
                   WHERE d.owner = given.owner AND d.namespace = given.namespace
                     AND d.document_key = given.document_key AND given.document_key <> ''), 0),
               false, 'storing', given.namespace, given.platform, given.document_key,
               given.filename, given.media_type, given.blob_key, given.sha256, given.metadata, until,
               ARRAY[begin_document.request_id]
        -- A repair may have taken the key just now, for a file that nobody knew.
        ON CONFLICT DO NOTHING
        RETURNING * INTO stored;
        IF NOT FOUND THEN
            SELECT d.* INTO stored FROM knowledge.documents d
            WHERE d.document_id = given.document_id OR d.blob_key = given.blob_key
            ORDER BY d.document_id = given.document_id DESC LIMIT 1;
        END IF;
    END IF;
    RETURN knowledge.document_rendered(stored);
END $$;

-- Last step of an upload: the file is there. Answers {"document", "created"}, whether this request
-- stored it; null where the record was given up meanwhile.
CREATE FUNCTION knowledge.commit_document(document_id uuid, request_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    stored knowledge.documents;
BEGIN
    SELECT d.* INTO stored FROM knowledge.documents d
    WHERE d.document_id = commit_document.document_id;
    PERFORM knowledge.refuse_erased(knowledge.hold_document(
        stored.document_id, stored.owner, stored.namespace, stored.document_key,
        stored.subject_id, stored.person_id));
    UPDATE knowledge.documents d
    SET state = 'succeeded', request_id = commit_document.request_id, created_at = now(),
        uploads = '{}'
    WHERE d.document_id = commit_document.document_id AND d.state = 'storing'
    RETURNING d.* INTO stored;
    IF FOUND THEN
        PERFORM knowledge.settle_versions(stored);
    END IF;
    SELECT d.* INTO stored FROM knowledge.documents d
    WHERE d.document_id = commit_document.document_id AND d.state <> 'deleting';
    IF NOT FOUND THEN
        RETURN 'null';
    END IF;
    RETURN jsonb_build_object(
        'document', knowledge.document_rendered(stored),
        'created', stored.request_id IS NOT DISTINCT FROM commit_document.request_id);
END $$;

-- An upload that has put its file will not commit it. Once none is under way the record counts as
-- given up.
CREATE FUNCTION knowledge.give_up_document(document_id uuid, request_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    UPDATE knowledge.documents d
    SET uploads = array_remove(d.uploads, give_up_document.request_id),
        next_attempt_at = CASE d.uploads WHEN ARRAY[give_up_document.request_id]
                               THEN now() ELSE d.next_attempt_at END
    WHERE d.document_id = give_up_document.document_id AND d.state = 'storing'
      AND give_up_document.request_id = ANY (d.uploads);
    RETURN 'null';
END $$;

-- A document, or null.
CREATE FUNCTION knowledge.get_document(document_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT knowledge.document_rendered(d) FROM knowledge.documents d
    WHERE d.document_id = get_document.document_id AND d.state NOT IN ('storing', 'deleting')
$$;

-- Whether a document is to be listed; the filter means what it means for items.
CREATE FUNCTION knowledge.document_fits(
    document knowledge.documents, filter knowledge.item_filter, document_key text,
    with_earlier boolean, states text[]
) RETURNS boolean LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT (document).state = ANY (document_fits.states)
       AND ((document).is_latest OR document_fits.with_earlier)
       AND (document_fits.document_key IS NULL
            OR (document).document_key = document_fits.document_key)
       AND (SELECT knowledge.fits(i, document_fits.filter)
            FROM (SELECT (jsonb_populate_record(
                      NULL::knowledge.knowledge_items, to_jsonb(document))).* OFFSET 0) i)
$$;

-- The documents that fit, newest first, from below a place on. Of several subjects one limited scan
-- each is merged.
CREATE FUNCTION knowledge.list_documents(
    filter jsonb, document_key text, with_earlier boolean, states text[], most integer,
    before_time timestamptz DEFAULT NULL, before_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    chosen knowledge.item_filter := knowledge.parsed_filter(list_documents.filter);
    subjects uuid[] := chosen.subject_ids;
    page uuid[];
BEGIN
    IF subjects IS NULL THEN
        page := ARRAY(
            SELECT d.document_id FROM knowledge.documents d
            WHERE (before_time IS NULL OR (d.created_at, d.document_id) < (before_time, before_id))
              AND knowledge.document_fits(d, chosen, list_documents.document_key, with_earlier, states)
            ORDER BY d.created_at DESC, d.document_id DESC LIMIT list_documents.most);
    ELSE
        page := ARRAY(
            SELECT n.document_id
            FROM (SELECT DISTINCT u.id FROM unnest(subjects) u (id)) subject
            CROSS JOIN LATERAL (
                SELECT d.created_at, d.document_id FROM knowledge.documents d
                WHERE d.subject_id = subject.id
                  AND (before_time IS NULL
                       OR (d.created_at, d.document_id) < (before_time, before_id))
                  AND knowledge.document_fits(
                      d, chosen, list_documents.document_key, with_earlier, states)
                ORDER BY d.created_at DESC, d.document_id DESC LIMIT list_documents.most) n
            ORDER BY n.created_at DESC, n.document_id DESC LIMIT list_documents.most);
    END IF;
    RETURN (
        SELECT coalesce(jsonb_agg(knowledge.document_rendered(d)
                        ORDER BY d.created_at DESC, d.document_id DESC), '[]')
        FROM knowledge.documents d WHERE d.document_id = ANY (page));
END $$;

-- First step of a deletion: nobody sees the document or its pieces any more, and the version before
-- it, if any, is the latest. Answers {"deleted", "document"}: whether this request deleted it, and
-- what is still to be finished, by `lease_owner` for a while.
CREATE FUNCTION knowledge.start_document_deletion(
    document_id uuid, request_id uuid, lease_owner text, lease_ms integer
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    stored knowledge.documents;
BEGIN
    SELECT d.* INTO stored FROM knowledge.documents d
    WHERE d.document_id = start_document_deletion.document_id;
    PERFORM knowledge.hold_document(
        stored.document_id, stored.owner, stored.namespace, stored.document_key,
        stored.subject_id, stored.person_id);
    UPDATE knowledge.documents d
    SET state = 'deleting', is_latest = false, revision = nextval('knowledge.revisions'),
        changed_at = now(), attempts = 0, request_id = start_document_deletion.request_id,
        lease_owner = start_document_deletion.lease_owner,
        next_attempt_at = now()
            + make_interval(secs => start_document_deletion.lease_ms / 1000.0)
    WHERE d.document_id = start_document_deletion.document_id
      AND d.state NOT IN ('storing', 'deleting')
    RETURNING d.* INTO stored;
    IF FOUND THEN
        PERFORM knowledge.doom_readings(stored.document_id);
        PERFORM knowledge.settle_versions(stored);
    ELSE
        SELECT d.* INTO stored FROM knowledge.documents d
        WHERE d.document_id = start_document_deletion.document_id AND d.state = 'deleting'
          AND d.request_id = start_document_deletion.request_id;
    END IF;
    RETURN jsonb_build_object(
        'deleted', stored.document_id IS NOT NULL,
        'document', CASE WHEN stored.document_id IS NOT NULL
            THEN knowledge.document_rendered(stored) END);
END $$;

-- Uploads that were given up and deletions that were not finished, to be finished by `lease_owner`:
-- from here on both are deletions.
CREATE FUNCTION knowledge.claim_deletions(lease_owner text, most integer, lease_ms integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    claimed uuid[];
BEGIN
    claimed := ARRAY(
        SELECT d.document_id FROM knowledge.documents d
        WHERE d.state IN ('storing', 'deleting') AND d.next_attempt_at <= now()
        ORDER BY d.next_attempt_at LIMIT claim_deletions.most FOR UPDATE SKIP LOCKED);
    UPDATE knowledge.documents d
    SET state = 'deleting', revision = nextval('knowledge.revisions'),
        changed_at = CASE d.state WHEN 'storing' THEN now() ELSE d.changed_at END,
        attempts = d.attempts + 1, lease_owner = claim_deletions.lease_owner,
        next_attempt_at = now() + make_interval(secs => claim_deletions.lease_ms / 1000.0)
    WHERE d.document_id = ANY (claimed);
    PERFORM knowledge.doom_readings(c.id) FROM unnest(claimed) c (id);
    RETURN (
        SELECT coalesce(jsonb_agg(knowledge.document_rendered(d)), '[]')
        FROM knowledge.documents d WHERE d.document_id = ANY (claimed));
END $$;

-- How many pieces of a document there are still, those that are being removed included.
CREATE FUNCTION knowledge.count_pieces(document_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT to_jsonb(count(*)) FROM knowledge.knowledge_items i
    WHERE i.document_id = count_pieces.document_id
$$;

-- Leaves a deletion for later; one that somebody else has taken up stays theirs.
CREATE FUNCTION knowledge.put_off_deletion(document_id uuid, revision bigint, delay_ms integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    UPDATE knowledge.documents d
    SET lease_owner = NULL,
        next_attempt_at = now() + make_interval(secs => put_off_deletion.delay_ms / 1000.0)
    WHERE d.document_id = put_off_deletion.document_id AND d.state = 'deleting'
      AND d.revision = put_off_deletion.revision;
    RETURN 'null';
END $$;

-- Last step of a deletion, after the file is gone: the record.
CREATE FUNCTION knowledge.forget_document(document_id uuid, revision bigint) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM knowledge.documents d
    WHERE d.document_id = forget_document.document_id AND d.state = 'deleting'
      AND d.revision = forget_document.revision
      AND NOT EXISTS (SELECT FROM knowledge.knowledge_items i WHERE i.document_id = d.document_id);
    RETURN 'null';
END $$;

-- The key of this name; where there is none yet, the one proposed, from now on.
CREATE FUNCTION knowledge.signing_key(name text, proposed text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO knowledge.signing_keys (name, value)
    SELECT signing_key.name, signing_key.proposed
    WHERE NOT EXISTS (SELECT FROM knowledge.signing_keys k WHERE k.name = signing_key.name)
    ON CONFLICT DO NOTHING;
    RETURN (SELECT to_jsonb(k.value) FROM knowledge.signing_keys k WHERE k.name = signing_key.name);
END $$;
