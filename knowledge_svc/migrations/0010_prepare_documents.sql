-- The tables of documents and memories, what joins them to items, and the list of those about whom
-- nothing is kept any more.
-- ZK002: somebody the write is about was erased.

-- A document is one version of a file: this row, the bytes in the blob store, and pieces of its
-- text, which are items.
CREATE TABLE knowledge.documents (
    document_id      uuid PRIMARY KEY,
    -- Names the write that the row is of.
    revision         bigint NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    occurred_at      timestamptz NOT NULL,
    -- When its state last changed.
    changed_at       timestamptz NOT NULL DEFAULT now(),
    subject_id       uuid,
    person_id        uuid,
    group_id         uuid,
    session_id       uuid,
    -- Whose versions and contents are counted together; the nil UUID for nobody's.
    owner            uuid NOT NULL,
    size             bigint NOT NULL,
    version          integer NOT NULL,
    is_latest        boolean NOT NULL,
    -- `storing`: the record is made first and the file may be there or not; nobody sees it yet.
    -- `deleting`: nobody sees it any more.
    state            text COLLATE "C" NOT NULL CHECK (state IN
                     ('storing', 'pending', 'running', 'succeeded', 'failed', 'deleting')),
    is_indexed       boolean NOT NULL DEFAULT false,
    namespace        text COLLATE "C" NOT NULL,
    platform         text COLLATE "C",
    -- The caller's name for it; empty where it has none.
    document_key     text COLLATE "C" NOT NULL,
    filename         text NOT NULL,
    media_type       text NOT NULL,
    blob_key         text COLLATE "C" NOT NULL UNIQUE,
    sha256           bytea NOT NULL,
    metadata         jsonb NOT NULL,
    -- Of its text, once it is out.
    title            text,
    pages            integer,
    chunks           integer NOT NULL DEFAULT 0,
    characters       bigint NOT NULL DEFAULT 0,
    chunker          text,
    failure_reason   text,
    failure_detail   text,
    -- The queue of texts to read, and of uploads and deletions to finish, as for items.
    next_attempt_at  timestamptz NOT NULL DEFAULT now(),
    attempts         integer NOT NULL DEFAULT 0,
    lease_owner      text
);

ALTER TABLE knowledge.documents ENABLE ROW LEVEL SECURITY;

CREATE INDEX documents_to_do ON knowledge.documents (next_attempt_at)
    WHERE state IN ('storing', 'pending', 'running', 'deleting');
CREATE UNIQUE INDEX documents_latest ON knowledge.documents (owner, namespace, document_key)
    WHERE is_latest AND document_key <> '' AND state <> 'deleting';
CREATE INDEX documents_by_owner ON knowledge.documents (owner, namespace, document_key, version);
CREATE INDEX documents_by_time ON knowledge.documents (created_at, document_id);
CREATE INDEX documents_by_subject ON knowledge.documents (subject_id, created_at, document_id)
    WHERE subject_id IS NOT NULL;

-- Single facts about people, by key; the item `knowledge_id` is what searches find one by.
CREATE TABLE knowledge.memories (
    memory_id        uuid PRIMARY KEY,
    person_id        uuid NOT NULL,
    knowledge_id     uuid NOT NULL UNIQUE,
    source_event_id  uuid,
    occurred_at      timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    last_accessed_at timestamptz,
    access_count     bigint NOT NULL DEFAULT 0,
    importance       double precision NOT NULL CHECK (importance BETWEEN 0 AND 1),
    version          integer NOT NULL,
    memory_key       text COLLATE "C" NOT NULL,
    category         text COLLATE "C" NOT NULL,
    value            text NOT NULL,
    metadata         jsonb NOT NULL,
    UNIQUE (person_id, memory_key)
);

ALTER TABLE knowledge.memories ENABLE ROW LEVEL SECURITY;

-- Every version that a memory had, the present one included, and deletions.
CREATE TABLE knowledge.memory_versions (
    memory_id        uuid NOT NULL,
    version          integer NOT NULL,
    person_id        uuid NOT NULL,
    source_event_id  uuid,
    occurred_at      timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    importance       double precision NOT NULL,
    is_deletion      boolean NOT NULL DEFAULT false,
    memory_key       text COLLATE "C" NOT NULL,
    category         text COLLATE "C" NOT NULL,
    value            text NOT NULL,
    metadata         jsonb NOT NULL,
    PRIMARY KEY (memory_id, version)
);

ALTER TABLE knowledge.memory_versions ENABLE ROW LEVEL SECURITY;

CREATE INDEX memory_versions_by_person ON knowledge.memory_versions (person_id);

-- An item that is a piece of a document, or what a memory is found by, is changed through that alone.
ALTER TABLE knowledge.knowledge_items
    ADD COLUMN updated_at timestamptz,
    ADD COLUMN document_id uuid,
    ADD COLUMN memory_id uuid,
    ADD COLUMN chunk_number integer,
    -- Where in the document: {"page", "start", "end", "speakers", "seconds"}.
    ADD COLUMN place jsonb;

-- Pieces of a document may repeat one another, and memories what was said.
DROP INDEX knowledge.knowledge_items_once;
CREATE UNIQUE INDEX knowledge_items_once ON knowledge.knowledge_items (content_hash, namespace, owner)
    WHERE source_event_id IS NULL AND deleted_at IS NULL
      AND document_id IS NULL AND memory_id IS NULL;
CREATE INDEX knowledge_items_by_document
    ON knowledge.knowledge_items (document_id, chunk_number) WHERE document_id IS NOT NULL;

-- The reading that made a piece of a document.
ALTER TABLE knowledge.knowledge_items ADD COLUMN reading bigint;

-- Readings whose pieces nobody is to see: because their text is still coming out, or because others
-- have taken their place. So a hundred thousand pieces appear, or go, by one row. There are few.
CREATE TABLE knowledge.hidden_readings (
    reading          bigint PRIMARY KEY,
    document_id      uuid NOT NULL REFERENCES knowledge.documents ON DELETE CASCADE,
    -- Nobody will show them any more: they are to be taken away, some at a time.
    is_doomed        boolean NOT NULL DEFAULT false
);

ALTER TABLE knowledge.hidden_readings ENABLE ROW LEVEL SECURITY;

CREATE INDEX hidden_readings_by_document ON knowledge.hidden_readings (document_id);

ALTER TYPE knowledge.item_filter
    ADD ATTRIBUTE document_id uuid,
    ADD ATTRIBUTE hidden_readings bigint[];

-- As text: who only passes it on need not have it put together and written out again.
DROP FUNCTION knowledge.rendered(knowledge.knowledge_items, knowledge.index_states);
CREATE FUNCTION knowledge.rendered(
    item knowledge.knowledge_items, index_state knowledge.index_states
) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
        'knowledge_id', (item).knowledge_id, 'namespace', (item).namespace,
        'content', (item).content, 'metadata', (item).metadata,
        'subject_id', (item).subject_id, 'person_id', (item).person_id,
        'group_id', (item).group_id, 'session_id', (item).session_id,
        'platform', (item).platform, 'source_event_id', (item).source_event_id,
        'source_position', (item).source_position, 'occurred_at', (item).occurred_at,
        'created_at', (item).created_at, 'index_state', (index_state).state,
        'embedding_model', (index_state).embedding_model, 'revision', (item).revision,
        'updated_at', (item).updated_at, 'document_id', (item).document_id,
        'memory_id', (item).memory_id, 'chunk_number', (item).chunk_number,
        'place', (item).place)
$$;

-- Those about whom nothing is kept any more.
CREATE TABLE knowledge.erased_subjects (
    subject_id       uuid PRIMARY KEY,
    erased_at        timestamptz NOT NULL DEFAULT now(),
    -- How much of them was erased, by kind.
    erased           jsonb NOT NULL DEFAULT '{}'
);

ALTER TABLE knowledge.erased_subjects ENABLE ROW LEVEL SECURITY;

-- Has whoever erases one of the subjects wait for the end of this transaction, or waits for it;
-- answers those that are erased. Every writer calls it first, before it locks any row. (Subjects
-- share locks, so that a batch about many does not fill the table of locks; an eraser holds
-- them all for a moment, `knowledge.close_subjects`.)
CREATE FUNCTION knowledge.hold_subjects(subject_ids uuid[]) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1802204021, b.bucket)
    FROM (
        SELECT DISTINCT hashtext(s.subject_id::text) & 255 AS bucket
        FROM unnest(hold_subjects.subject_ids) s (subject_id)
        WHERE s.subject_id IS NOT NULL ORDER BY bucket
    ) b;
    RETURN ARRAY(
        SELECT e.subject_id FROM knowledge.erased_subjects e
        WHERE e.subject_id = ANY (hold_subjects.subject_ids) ORDER BY e.subject_id);
END $$;

-- Waits for every writer about the subjects, and refuses them from now on.
CREATE FUNCTION knowledge.close_subjects(subject_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(1802204021, b.bucket)
    FROM (
        SELECT DISTINCT hashtext(s.subject_id::text) & 255 AS bucket
        FROM unnest(close_subjects.subject_ids) s (subject_id) ORDER BY bucket
    ) b;
    INSERT INTO knowledge.erased_subjects (subject_id)
    SELECT DISTINCT s.subject_id FROM unnest(close_subjects.subject_ids) s (subject_id)
    ORDER BY 1
    ON CONFLICT DO NOTHING;
END $$;

-- Independent requests; each is answered
-- {"ok": {"outcome": created | duplicate | deleted, "knowledge_id", "revision"}} or an error; what
-- would be new and is about somebody erased, {"error": {"code": "ZK002", "subject_id"}}.
CREATE OR REPLACE FUNCTION knowledge.store_items(requests jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    remaining bigint[];
    part jsonb;
    answers jsonb := '[]';
    erased uuid[];
BEGIN
    erased := knowledge.hold_subjects(ARRAY(
        SELECT DISTINCT v.id::uuid
        FROM jsonb_array_elements(store_items.requests) r
        CROSS JOIN LATERAL (VALUES (r ->> 'subject_id'), (r ->> 'person_id')) v (id)
        WHERE v.id IS NOT NULL));
    -- Writers of equal ids or equal content go one after the other. Ids and content share one
    -- set of locks, taken in one order: two unique indexes alone would let writers deadlock.
    PERFORM pg_advisory_xact_lock(1802204019, k.bucket)
    FROM (
        SELECT DISTINCT hashtext(key) & 1023 AS bucket
        FROM jsonb_array_elements(store_items.requests) r
        CROSS JOIN LATERAL (VALUES (r ->> 'knowledge_id'), (r ->> 'content_hash')) v (key)
        ORDER BY bucket
    ) k;

    remaining := ARRAY(SELECT generate_series(1, jsonb_array_length(store_items.requests)));
    -- A request whose id or content an earlier one brings too waits for the next round.
    WHILE cardinality(remaining) > 0 LOOP
        WITH request AS MATERIALIZED (
            SELECT r.*
            FROM ROWS FROM (
                jsonb_to_recordset(store_items.requests) AS (
                    knowledge_id uuid, namespace text, content text, metadata jsonb,
                    subject_id uuid, person_id uuid, group_id uuid, session_id uuid,
                    platform text, source_event_id uuid, source_position bigint,
                    occurred_at timestamptz, owner uuid, content_hash bytea, body_hash bytea,
                    terms text[], term_counts smallint[], term_total integer)
            ) WITH ORDINALITY r (
                knowledge_id, namespace, content, metadata,
                subject_id, person_id, group_id, session_id,
                platform, source_event_id, source_position,
                occurred_at, owner, content_hash, body_hash,
                terms, term_counts, term_total, place)
            WHERE r.place = ANY (remaining)
        ), judged AS MATERIALIZED (
            SELECT r.place, r.knowledge_id, r.owner, r.namespace, r.content_hash,
                   r.source_event_id IS NULL AS once,
                   CASE WHEN r.subject_id = ANY (erased) THEN r.subject_id
                        ELSE r.person_id END AS subject_id,
                   CASE
                       WHEN same.knowledge_id IS NOT NULL AND same.body_hash <> r.body_hash
                           THEN 'conflict'
                       WHEN gone.knowledge_id IS NOT NULL THEN 'deleted'
                       WHEN coalesce(same.knowledge_id, twin.knowledge_id) IS NOT NULL
                           THEN 'duplicate'
                       WHEN r.subject_id = ANY (erased) OR r.person_id = ANY (erased)
                           THEN 'erased'
                       ELSE 'created'
                   END AS outcome,
                   coalesce(same.knowledge_id, twin.knowledge_id, r.knowledge_id) AS stored_id,
                   coalesce(same.revision, twin.revision) AS revision
            FROM request r
            LEFT JOIN knowledge.deleted_ids gone ON gone.knowledge_id = r.knowledge_id
            LEFT JOIN knowledge.knowledge_items same
                ON same.knowledge_id = r.knowledge_id AND same.deleted_at IS NULL
            LEFT JOIN knowledge.knowledge_items twin
                ON r.source_event_id IS NULL AND twin.source_event_id IS NULL
               AND twin.deleted_at IS NULL AND twin.content_hash = r.content_hash
               AND twin.namespace = r.namespace AND twin.owner = r.owner
               AND twin.document_id IS NULL AND twin.memory_id IS NULL
        ), fresh AS (
            SELECT j.place, nextval('knowledge.revisions') AS revision
            FROM (
                SELECT place,
                       row_number() OVER (PARTITION BY knowledge_id ORDER BY place) = 1
                       AND (NOT once OR row_number() OVER (
                           PARTITION BY once, owner, namespace, content_hash ORDER BY place) = 1
                       ) AS is_first
                FROM judged WHERE outcome = 'created' ORDER BY place
            ) j
            WHERE j.is_first
        ), inserted AS (
            INSERT INTO knowledge.knowledge_items (
                knowledge_id, revision, occurred_at, subject_id, person_id, group_id,
                session_id, source_event_id, owner, source_position, term_total, namespace,
                platform, content_hash, body_hash, terms, term_counts, metadata, content)
            SELECT r.knowledge_id, f.revision, coalesce(r.occurred_at, now()), r.subject_id,
                   r.person_id, r.group_id, r.session_id, r.source_event_id, r.owner,
                   r.source_position, r.term_total, r.namespace, r.platform, r.content_hash,
                   r.body_hash, r.terms, r.term_counts, r.metadata, r.content
            FROM fresh f JOIN request r USING (place)
            ORDER BY r.knowledge_id
        ), queued AS (
            INSERT INTO knowledge.index_states (knowledge_id, revision)
            SELECT r.knowledge_id, f.revision
            FROM fresh f JOIN request r USING (place)
        )
        SELECT jsonb_agg(jsonb_build_object(
                   'place', j.place,
                   'answer', CASE j.outcome
                       WHEN 'conflict' THEN '{"error": {"code": "ZK001"}}'::jsonb
                       WHEN 'erased' THEN jsonb_build_object('error', jsonb_build_object(
                           'code', 'ZK002', 'subject_id', j.subject_id))
                       ELSE jsonb_build_object('ok', jsonb_build_object(
                           'outcome', j.outcome, 'knowledge_id', j.stored_id,
                           'revision', coalesce(f.revision, j.revision)))
                   END))
        INTO part
        FROM judged j LEFT JOIN fresh f USING (place)
        WHERE j.outcome <> 'created' OR f.place IS NOT NULL;

        answers := answers || part;
        remaining := ARRAY(
            SELECT r FROM unnest(remaining) r
            EXCEPT SELECT (p -> 'place')::bigint FROM jsonb_array_elements(part) p);
    END LOOP;

    RETURN (
        SELECT jsonb_agg(a -> 'answer' ORDER BY (a -> 'place')::bigint)
        FROM jsonb_array_elements(answers) a);
END $$;
