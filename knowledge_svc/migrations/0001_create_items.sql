-- Knowledge items, the words that find them, and how far the indexer is with each.

CREATE SEQUENCE knowledge.revisions;

CREATE TABLE knowledge.knowledge_items (
    knowledge_id     uuid PRIMARY KEY,
    -- Names the write that the row is of.
    revision         bigint NOT NULL,
    occurred_at      timestamptz NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    -- Set when a deletion begins: from then on nobody sees the item.
    deleted_at       timestamptz,
    subject_id       uuid,
    person_id        uuid,
    group_id         uuid,
    session_id       uuid,
    source_event_id  uuid,
    -- Within whose knowledge content is stored once; the nil UUID for nobody's.
    owner            uuid NOT NULL,
    source_position  bigint,
    -- Words in all, for BM25.
    term_total       integer NOT NULL,
    namespace        text COLLATE "C" NOT NULL,
    platform         text COLLATE "C",
    content_hash     bytea NOT NULL,
    body_hash        bytea NOT NULL,
    -- In order of the alphabet, and how often each occurs.
    terms            text[] COLLATE "C" NOT NULL,
    term_counts      smallint[] NOT NULL,
    metadata         jsonb NOT NULL,
    content          text NOT NULL
);

ALTER TABLE knowledge.knowledge_items ENABLE ROW LEVEL SECURITY;

-- An item made from an event is that event's own; any other content an owner has once.
CREATE UNIQUE INDEX knowledge_items_once ON knowledge.knowledge_items (content_hash, namespace, owner)
    WHERE source_event_id IS NULL AND deleted_at IS NULL;
CREATE INDEX knowledge_items_by_subject
    ON knowledge.knowledge_items (subject_id, occurred_at, knowledge_id) WHERE subject_id IS NOT NULL;
CREATE INDEX knowledge_items_by_group
    ON knowledge.knowledge_items (group_id, occurred_at, knowledge_id) WHERE group_id IS NOT NULL;
CREATE INDEX knowledge_items_by_session
    ON knowledge.knowledge_items (session_id, occurred_at, knowledge_id) WHERE session_id IS NOT NULL;
CREATE INDEX knowledge_items_by_namespace
    ON knowledge.knowledge_items (namespace, occurred_at, knowledge_id);
CREATE INDEX knowledge_items_by_time ON knowledge.knowledge_items (occurred_at, knowledge_id);
-- Both collect new entries in a pending list, which is what makes storing quick; indexers empty
-- it (`settle_words`), since each search that uses the index reads the list through.
CREATE INDEX knowledge_items_by_metadata
    ON knowledge.knowledge_items USING gin (metadata jsonb_path_ops);
CREATE INDEX knowledge_items_by_terms ON knowledge.knowledge_items USING gin (terms);

-- One row beside each item, so that indexing never rewrites the item and its index entries.
CREATE TABLE knowledge.index_states (
    knowledge_id     uuid PRIMARY KEY REFERENCES knowledge.knowledge_items ON DELETE CASCADE,
    -- The write that the state is about.
    revision         bigint NOT NULL,
    -- When it is next to be taken up: at once, after a lease, or after a failure.
    next_attempt_at  timestamptz NOT NULL DEFAULT now(),
    pending_since    timestamptz NOT NULL DEFAULT now(),
    attempts         integer NOT NULL DEFAULT 0,
    state            text COLLATE "C" NOT NULL DEFAULT 'pending'
                     CHECK (state IN ('pending', 'indexed', 'failed', 'deleting')),
    lease_owner      text,
    -- The model of its vector; null where there is none.
    embedding_model  text,
    last_error       text
);

ALTER TABLE knowledge.index_states ENABLE ROW LEVEL SECURITY;

CREATE INDEX index_states_to_do ON knowledge.index_states (next_attempt_at, revision)
    WHERE state IN ('pending', 'deleting');

-- What was deleted stays deleted, whoever stores it again.
CREATE TABLE knowledge.deleted_ids (
    knowledge_id     uuid PRIMARY KEY,
    deleted_at       timestamptz NOT NULL DEFAULT now(),
    -- The call that did it, so that it can be repeated.
    request_id       uuid NOT NULL
);

ALTER TABLE knowledge.deleted_ids ENABLE ROW LEVEL SECURITY;

-- A filter as callers send it, taken apart once for all rows.
-- (What is not SECURITY DEFINER here and below is for the other functions alone: it has only
-- the rights of its caller, and the service's role has none on tables.)
CREATE TYPE knowledge.item_filter AS (
    namespaces       text[],
    subject_ids      uuid[],
    group_id         uuid,
    session_id       uuid,
    platform         text,
    occurred_from    timestamptz,
    occurred_to      timestamptz,
    metadata         jsonb,
    -- Those of `metadata` that are objects or lists: containment alone would take parts for equal.
    nested           jsonb
);

CREATE FUNCTION knowledge.parsed_filter(filter jsonb) RETURNS knowledge.item_filter
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
DECLARE
    parsed knowledge.item_filter := jsonb_populate_record(NULL::knowledge.item_filter, filter);
BEGIN
    SELECT jsonb_object_agg(m.key, m.value) INTO parsed.nested
    FROM jsonb_each(parsed.metadata) m
    WHERE jsonb_typeof(m.value) IN ('object', 'array');
    RETURN parsed;
END $$;

CREATE FUNCTION knowledge.has_equal(metadata jsonb, nested jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT NOT EXISTS (
        SELECT FROM jsonb_each(nested) n
        WHERE metadata -> n.key IS DISTINCT FROM n.value
    )
$$;

-- Whether an item is there and fits. Without a search path of its own, so that the planner
-- writes it out in the query and uses indexes for what is left of it.
CREATE FUNCTION knowledge.fits(item knowledge.knowledge_items, filter knowledge.item_filter)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (item).deleted_at IS NULL
       AND ((filter).namespaces IS NULL OR (item).namespace = ANY ((filter).namespaces))
       AND ((filter).subject_ids IS NULL OR (item).subject_id = ANY ((filter).subject_ids))
       AND ((filter).group_id IS NULL OR (item).group_id = (filter).group_id)
       AND ((filter).session_id IS NULL OR (item).session_id = (filter).session_id)
       AND ((filter).platform IS NULL OR (item).platform = (filter).platform)
       AND ((filter).occurred_from IS NULL OR (item).occurred_at >= (filter).occurred_from)
       AND ((filter).occurred_to IS NULL OR (item).occurred_at < (filter).occurred_to)
       AND ((filter).metadata IS NULL OR (item).metadata @> (filter).metadata)
       AND ((filter).nested IS NULL OR knowledge.has_equal((item).metadata, (filter).nested))
$$;

-- An item as callers read it.
CREATE FUNCTION knowledge.rendered(
    item knowledge.knowledge_items, index_state knowledge.index_states
) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'knowledge_id', (item).knowledge_id, 'namespace', (item).namespace,
        'content', (item).content, 'metadata', (item).metadata,
        'subject_id', (item).subject_id, 'person_id', (item).person_id,
        'group_id', (item).group_id, 'session_id', (item).session_id,
        'platform', (item).platform, 'source_event_id', (item).source_event_id,
        'source_position', (item).source_position, 'occurred_at', (item).occurred_at,
        'created_at', (item).created_at, 'index_state', (index_state).state,
        'embedding_model', (index_state).embedding_model)
$$;
