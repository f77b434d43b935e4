-- Changes of items, shelves with counts, and dead letters.
-- Single requests are answered with {"error": {"code", …}}:
-- ZK002: somebody the item is about was erased; "subject_id".
-- ZK021: the item no longer has the etag that was given.
-- ZK022: the metadata would be larger than it may be.
-- ZK023: the owner has another item with this content; "knowledge_id".
-- ZK024: the item is derived; "document_id" or "memory_id".

-- RFC 7396.
CREATE FUNCTION knowledge.merge_patch(target jsonb, patch jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = '' AS $$
BEGIN
    IF jsonb_typeof(patch) <> 'object' THEN
        RETURN patch;
    END IF;
    RETURN (
        SELECT coalesce(jsonb_object_agg(
            key, CASE WHEN p.value IS NULL THEN t.value
                      ELSE knowledge.merge_patch(t.value, p.value) END
        ), '{}')
        FROM jsonb_each(CASE WHEN jsonb_typeof(target) = 'object' THEN target ELSE '{}' END) t
        FULL JOIN jsonb_each(patch) p USING (key)
        WHERE p.value IS NULL OR jsonb_typeof(p.value) <> 'null'
    );
END $$;

-- The bytes of a value as JSON without spaces between its parts, as clients count it.
CREATE FUNCTION knowledge.compact_bytes(value jsonb) RETURNS int
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT octet_length(value::text)
         - regexp_count(regexp_replace(value::text, '"(\\.|[^"\\])*"', '', 'g'), ' ')
$$;

-- When an item was given up.
ALTER TABLE knowledge.index_states ADD COLUMN failed_at timestamptz;
UPDATE knowledge.index_states SET failed_at = next_attempt_at WHERE state = 'failed';
CREATE INDEX index_states_failed ON knowledge.index_states (failed_at, knowledge_id)
    WHERE state = 'failed';
-- What is to be indexed and what is to be removed are claimed apart.
DROP INDEX knowledge.index_states_to_do;
CREATE INDEX index_states_to_do ON knowledge.index_states (state, next_attempt_at, revision)
    WHERE state IN ('pending', 'deleting');

-- New contents for items that are there, [{"knowledge_id", "content", "content_hash", "terms",
-- "term_counts", "term_total", "metadata", "occurred_at"}]; a key that is missing leaves what is
-- there. Each is a new write; one that its vector would show waits to be indexed. For other
-- functions, which hold the subjects and know that the items may be changed; answers
-- [{"knowledge_id", "revision"}].
CREATE FUNCTION knowledge.replace_items(changes jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    written jsonb;
BEGIN
    PERFORM FROM knowledge.knowledge_items i
    WHERE i.knowledge_id = ANY (ARRAY(
        SELECT (c ->> 'knowledge_id')::uuid FROM jsonb_array_elements(replace_items.changes) c))
    ORDER BY i.knowledge_id FOR UPDATE;
    WITH change AS MATERIALIZED (
        SELECT c.*, (c.content_hash <> i.content_hash OR c.occurred_at <> i.occurred_at) IS TRUE
               AS is_seen_by_vector
        FROM jsonb_to_recordset(replace_items.changes) c (
            knowledge_id uuid, content text, content_hash bytea, terms text[],
            term_counts smallint[], term_total integer, metadata jsonb, occurred_at timestamptz)
        JOIN knowledge.knowledge_items i USING (knowledge_id)
    ), replaced AS (
        UPDATE knowledge.knowledge_items i
        SET revision = nextval('knowledge.revisions'), updated_at = now(),
            content = coalesce(c.content, i.content),
            content_hash = coalesce(c.content_hash, i.content_hash),
            terms = coalesce(c.terms, i.terms),
            term_counts = coalesce(c.term_counts, i.term_counts),
            term_total = coalesce(c.term_total, i.term_total),
            metadata = coalesce(c.metadata, i.metadata),
            occurred_at = coalesce(c.occurred_at, i.occurred_at)
        FROM change c
        WHERE i.knowledge_id = c.knowledge_id AND i.deleted_at IS NULL
        RETURNING i.knowledge_id, i.revision, c.is_seen_by_vector
    ), held AS (
        -- A vector of what was there before may be on its way. Whoever is at it keeps the item, and
        -- finds when marking that there is a later write: else the older vector could come last.
        SELECT r.*, s.state = 'pending' AND s.lease_owner IS NOT NULL
               AND s.next_attempt_at > now() AS by_indexer
        FROM replaced r JOIN knowledge.index_states s USING (knowledge_id)
    ), moved AS (
        UPDATE knowledge.index_states s
        SET revision = h.revision, state = 'pending', attempts = 0, last_error = NULL,
            failed_at = NULL, pending_since = now(),
            lease_owner = CASE WHEN h.by_indexer THEN s.lease_owner END,
            next_attempt_at = CASE WHEN h.by_indexer THEN s.next_attempt_at ELSE now() END
        FROM held h WHERE s.knowledge_id = h.knowledge_id AND h.is_seen_by_vector
    ), kept AS (
        UPDATE knowledge.index_states s SET revision = h.revision
        FROM held h WHERE s.knowledge_id = h.knowledge_id AND NOT h.is_seen_by_vector
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'knowledge_id', r.knowledge_id, 'revision', r.revision)), '[]')
    INTO written FROM replaced r;
    RETURN written;
END $$;

-- Changes of single items, independent requests: {"knowledge_id", "etag", "patch" of the metadata,
-- "content" and with it "content_hash", "terms", "term_counts", "term_total"}. Each is answered
-- {"ok": the item as it is now, or null} or an error. What is there already is no change.
CREATE FUNCTION knowledge.update_items(requests jsonb, most_bytes integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    ids uuid[] := ARRAY(
        SELECT DISTINCT (r ->> 'knowledge_id')::uuid FROM jsonb_array_elements(requests) r);
    remaining bigint[] := ARRAY(SELECT generate_series(1, jsonb_array_length(requests)));
    erased uuid[];
    part jsonb;
    answers jsonb := '[]';
BEGIN
    -- Whom an item is about never changes, so that is read before the item is locked.
    erased := knowledge.hold_subjects(ARRAY(
        SELECT DISTINCT v.id FROM knowledge.knowledge_items i
        CROSS JOIN LATERAL (VALUES (i.subject_id), (i.person_id)) v (id)
        WHERE i.knowledge_id = ANY (ids)));
    -- The locks of `store_items`, so that nobody stores the content meanwhile.
    PERFORM pg_advisory_xact_lock(1802204019, k.bucket)
    FROM (
        SELECT DISTINCT hashtext(key) & 1023 AS bucket
        FROM jsonb_array_elements(update_items.requests) r
        CROSS JOIN LATERAL (VALUES (r ->> 'knowledge_id'), (r ->> 'content_hash')) v (key)
        WHERE key IS NOT NULL ORDER BY bucket
    ) k;
    PERFORM FROM knowledge.knowledge_items i
    WHERE i.knowledge_id = ANY (ids) ORDER BY i.knowledge_id FOR UPDATE;

    -- A request whose id or content an earlier one brings too waits for the next round.
    WHILE cardinality(remaining) > 0 LOOP
        part := knowledge.judge_changes(requests, remaining, erased, most_bytes);
        PERFORM knowledge.replace_items(changed.changes) FROM (
            SELECT jsonb_agg(p -> 'change') AS changes
            FROM jsonb_array_elements(part) p WHERE p ? 'change'
        ) changed WHERE changed.changes IS NOT NULL;
        answers := answers || part;
        remaining := ARRAY(
            SELECT r FROM unnest(remaining) r
            EXCEPT SELECT (p -> 'place')::bigint FROM jsonb_array_elements(part) p);
    END LOOP;

    RETURN (
        SELECT jsonb_agg(
            CASE WHEN a.value ? 'error' THEN jsonb_build_object('error', a.value -> 'error')
                 ELSE jsonb_build_object('ok', (
                     SELECT knowledge.rendered(i, s)
                     FROM knowledge.knowledge_items i JOIN knowledge.index_states s
                         USING (knowledge_id)
                     WHERE i.knowledge_id = (a.value ->> 'knowledge_id')::uuid
                       AND i.deleted_at IS NULL)) END
            ORDER BY (a.value -> 'place')::bigint)
        FROM jsonb_array_elements(answers) a);
END $$;

-- What comes of those of the requests that can be judged at once: [{"place", "knowledge_id"}], with
-- an "error", or with a "change" for `replace_items`, or with neither where nothing changes.
CREATE FUNCTION knowledge.judge_changes(
    requests jsonb, remaining bigint[], erased uuid[], most_bytes integer
) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    WITH request AS MATERIALIZED (
        SELECT r.value, r.place, (r.value ->> 'knowledge_id')::uuid AS knowledge_id,
               (r.value ->> 'content_hash')::bytea AS content_hash,
               row_number() OVER (PARTITION BY r.value -> 'knowledge_id' ORDER BY r.place) = 1
               AND (r.value ->> 'content_hash' IS NULL OR row_number() OVER (
                   PARTITION BY r.value -> 'content_hash' ORDER BY r.place) = 1) AS is_first
        FROM jsonb_array_elements(judge_changes.requests) WITH ORDINALITY r (value, place)
        WHERE r.place = ANY (judge_changes.remaining)
    ), wanted AS MATERIALIZED (
        SELECT r.place, r.knowledge_id, r.value, i.revision, i.subject_id, i.person_id,
               i.document_id, i.memory_id, i.metadata,
               coalesce(r.content_hash <> i.content_hash, false) AS has_other_content,
               knowledge.merge_patch(i.metadata, coalesce(
                   nullif(r.value -> 'patch', 'null'), '{}')) AS merged,
               twin.knowledge_id AS twin_id
        FROM request r
        LEFT JOIN knowledge.knowledge_items i
            ON i.knowledge_id = r.knowledge_id AND i.deleted_at IS NULL
        LEFT JOIN knowledge.knowledge_items twin
            ON i.source_event_id IS NULL AND twin.source_event_id IS NULL
           AND twin.deleted_at IS NULL AND twin.document_id IS NULL AND twin.memory_id IS NULL
           AND twin.content_hash = r.content_hash AND twin.namespace = i.namespace
           AND twin.owner = i.owner AND twin.knowledge_id <> i.knowledge_id
        WHERE r.is_first
    )
    SELECT jsonb_agg(jsonb_build_object('place', w.place, 'knowledge_id', w.knowledge_id) || CASE
        WHEN w.revision IS NULL THEN '{}'
        WHEN w.document_id IS NOT NULL OR w.memory_id IS NOT NULL THEN jsonb_build_object(
            'error', jsonb_build_object('code', 'ZK024', 'document_id', w.document_id,
                                        'memory_id', w.memory_id))
        WHEN w.subject_id = ANY (judge_changes.erased) OR w.person_id = ANY (judge_changes.erased)
            THEN jsonb_build_object('error', jsonb_build_object('code', 'ZK002', 'subject_id',
                CASE WHEN w.subject_id = ANY (judge_changes.erased) THEN w.subject_id
                     ELSE w.person_id END))
        WHEN NOT w.has_other_content AND w.merged = w.metadata THEN '{}'
        WHEN w.value ->> 'etag' <> w.revision::text THEN '{"error": {"code": "ZK021"}}'
        WHEN w.merged <> w.metadata AND octet_length(w.merged::text) > judge_changes.most_bytes
             AND knowledge.compact_bytes(w.merged) > judge_changes.most_bytes
            THEN '{"error": {"code": "ZK022"}}'
        WHEN w.has_other_content AND w.twin_id IS NOT NULL THEN jsonb_build_object(
            'error', jsonb_build_object('code', 'ZK023', 'knowledge_id', w.twin_id))
        ELSE jsonb_build_object('change', w.value || jsonb_build_object('metadata', w.merged))
    END)
    FROM wanted w
$$;

-- First step of deletions: from here on nobody sees the items, and storing them again does not
-- bring them back. Independent requests {"knowledge_id", "request_id"}, each answered
-- {"ok": whether it deleted the item} or ZK024. What an indexer is at just now is left to the queue.
CREATE OR REPLACE FUNCTION knowledge.start_deletions(requests jsonb, owner text, lease_ms integer)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    found uuid[];
BEGIN
    found := ARRAY(
        SELECT i.knowledge_id FROM knowledge.knowledge_items i
        WHERE i.deleted_at IS NULL AND i.document_id IS NULL AND i.memory_id IS NULL
          AND i.knowledge_id = ANY (ARRAY(
            SELECT (r ->> 'knowledge_id')::uuid FROM jsonb_array_elements(requests) r))
        ORDER BY i.knowledge_id FOR UPDATE);

    INSERT INTO knowledge.deleted_ids (knowledge_id, request_id)
    SELECT DISTINCT ON (1) (r.value ->> 'knowledge_id')::uuid, (r.value ->> 'request_id')::uuid
    FROM jsonb_array_elements(requests) WITH ORDINALITY r (value, place)
    WHERE (r.value ->> 'knowledge_id')::uuid = ANY (found)
    ORDER BY 1, r.place;
    UPDATE knowledge.knowledge_items i SET deleted_at = now() WHERE i.knowledge_id = ANY (found);
    UPDATE knowledge.index_states s
    SET state = 'deleting', pending_since = now(),
        lease_owner = CASE WHEN held.by_indexer THEN s.lease_owner ELSE start_deletions.owner END,
        next_attempt_at = CASE WHEN held.by_indexer THEN s.next_attempt_at
            ELSE now() + make_interval(secs => start_deletions.lease_ms / 1000.0) END
    FROM (
        SELECT h.knowledge_id, h.state = 'pending' AND h.lease_owner IS NOT NULL
               AND h.next_attempt_at > now() AS by_indexer
        FROM knowledge.index_states h WHERE h.knowledge_id = ANY (found)
        ORDER BY h.knowledge_id FOR UPDATE
    ) held
    WHERE s.knowledge_id = held.knowledge_id;

    RETURN (
        SELECT jsonb_agg(CASE
            WHEN i.document_id IS NOT NULL OR i.memory_id IS NOT NULL THEN jsonb_build_object(
                'error', jsonb_build_object('code', 'ZK024', 'document_id', i.document_id,
                                            'memory_id', i.memory_id))
            ELSE jsonb_build_object('ok', d.knowledge_id IS NOT NULL) END ORDER BY r.place)
        FROM jsonb_array_elements(requests) WITH ORDINALITY r (value, place)
        LEFT JOIN knowledge.deleted_ids d
            ON d.knowledge_id = (r.value ->> 'knowledge_id')::uuid
           AND d.request_id = (r.value ->> 'request_id')::uuid
        LEFT JOIN knowledge.knowledge_items i
            ON i.knowledge_id = (r.value ->> 'knowledge_id')::uuid AND i.deleted_at IS NULL);
END $$;

-- Items that were given up, the last first, from below a place on; {"total", "letters"}.
CREATE FUNCTION knowledge.list_dead_letters(
    namespaces text[], most integer,
    before_time timestamptz DEFAULT NULL, before_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT jsonb_build_object('total', (
            SELECT count(*) FROM knowledge.index_states s
            JOIN knowledge.knowledge_items i USING (knowledge_id)
            WHERE s.state = 'failed' AND (list_dead_letters.namespaces IS NULL
                  OR i.namespace = ANY (list_dead_letters.namespaces))
        ), 'letters', coalesce(jsonb_agg(to_jsonb(l)), '[]'))
        FROM (
            SELECT s.knowledge_id, i.namespace, coalesce(s.last_error, '') AS error, s.attempts,
                   s.failed_at, s.pending_since
            FROM knowledge.index_states s JOIN knowledge.knowledge_items i USING (knowledge_id)
            WHERE s.state = 'failed'
              AND (list_dead_letters.namespaces IS NULL
                   OR i.namespace = ANY (list_dead_letters.namespaces))
              AND (before_time IS NULL OR (s.failed_at, s.knowledge_id) < (before_time, before_id))
            ORDER BY s.failed_at DESC, s.knowledge_id DESC LIMIT list_dead_letters.most) l);
END $$;

-- Queues items again that were given up: those of the ids or, where they are null, up to `most` of
-- those given up until then, or until now. Answers {"replayed": how many, "until"}.
CREATE FUNCTION knowledge.replay_dead_letters(ids text[], most integer, until timestamptz)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    chosen uuid[] := replay_dead_letters.ids::uuid[];
    replayed bigint;
BEGIN
    IF chosen IS NULL THEN
        chosen := ARRAY(
            SELECT s.knowledge_id FROM knowledge.index_states s
            WHERE s.state = 'failed' AND s.failed_at <= coalesce(replay_dead_letters.until, now())
            ORDER BY s.failed_at LIMIT replay_dead_letters.most);
    END IF;
    PERFORM FROM knowledge.index_states s
    WHERE s.knowledge_id = ANY (chosen) ORDER BY s.knowledge_id FOR UPDATE;
    UPDATE knowledge.index_states s
    SET state = 'pending', attempts = 0, failed_at = NULL, lease_owner = NULL,
        pending_since = now(), next_attempt_at = now()
    WHERE s.knowledge_id = ANY (chosen) AND s.state = 'failed';
    GET DIAGNOSTICS replayed = ROW_COUNT;
    RETURN jsonb_build_object(
        'replayed', replayed, 'until', coalesce(replay_dead_letters.until, now()));
END $$;

-- How many items stand on each shelf: what was counted, and what came since. Writers only add to
-- the latter, so that they never wait for one another; indexers move it to the former.
CREATE TABLE knowledge.namespaces (
    namespace  text COLLATE "C" PRIMARY KEY,
    items      bigint NOT NULL
);

ALTER TABLE knowledge.namespaces ENABLE ROW LEVEL SECURITY;

CREATE TABLE knowledge.namespace_changes (
    namespace  text COLLATE "C" NOT NULL,
    items      bigint NOT NULL
);

ALTER TABLE knowledge.namespace_changes ENABLE ROW LEVEL SECURITY;

INSERT INTO knowledge.namespaces (namespace, items)
SELECT i.namespace, count(*) FROM knowledge.knowledge_items i WHERE i.deleted_at IS NULL GROUP BY 1;

-- Whoever writes items, and however. A namespace never changes, and what is hidden is gone.
CREATE FUNCTION knowledge.count_items() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO knowledge.namespace_changes
        SELECT a.namespace, count(*) FROM added a WHERE a.deleted_at IS NULL GROUP BY 1;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO knowledge.namespace_changes
        SELECT r.namespace, -count(*) FROM removed r WHERE r.deleted_at IS NULL GROUP BY 1;
    ELSE
        INSERT INTO knowledge.namespace_changes
        SELECT c.namespace, sum(c.items)
        FROM (SELECT a.namespace, 1 AS items FROM added a WHERE a.deleted_at IS NULL
              UNION ALL
              SELECT r.namespace, -1 FROM removed r WHERE r.deleted_at IS NULL) c
        GROUP BY 1 HAVING sum(c.items) <> 0;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER count_added AFTER INSERT ON knowledge.knowledge_items
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_items();
CREATE TRIGGER count_removed AFTER DELETE ON knowledge.knowledge_items
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_items();
CREATE TRIGGER count_changed AFTER UPDATE ON knowledge.knowledge_items
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION knowledge.count_items();

CREATE INDEX documents_by_namespace ON knowledge.documents (namespace) INCLUDE (size)
    WHERE state NOT IN ('storing', 'deleting');

-- What storing puts off: moves what was stored lately from the pending lists of the GIN indexes
-- into the indexes, and what was counted lately into the counts.
CREATE OR REPLACE FUNCTION knowledge.settle_words() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM gin_clean_pending_list('knowledge.knowledge_items_by_terms'),
            gin_clean_pending_list('knowledge.knowledge_items_by_metadata');
    IF pg_try_advisory_xact_lock(hashtextextended('knowledge.settle_words', 0)) THEN
        WITH counted AS (DELETE FROM knowledge.namespace_changes RETURNING namespace, items)
        INSERT INTO knowledge.namespaces AS n (namespace, items)
        SELECT c.namespace, sum(c.items) FROM counted c GROUP BY 1 ORDER BY 1
        ON CONFLICT (namespace) DO UPDATE SET items = n.items + excluded.items;
    END IF;
    RETURN 'null';
END $$;

-- What stands on shelves above `after`: by the counts, or of some subjects, counted one by one.
CREATE FUNCTION knowledge.all_shelves(after text) RETURNS TABLE (
    namespace text, items numeric, unindexed_items bigint, documents bigint,
    document_bytes numeric, last_occurred_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT n.namespace, sum(n.items), sum(n.unindexed)::bigint, sum(n.documents)::bigint,
           sum(n.bytes), (
               SELECT i.occurred_at FROM knowledge.knowledge_items i
               WHERE i.namespace = n.namespace AND i.deleted_at IS NULL
               ORDER BY i.occurred_at DESC LIMIT 1)
    FROM (
        SELECT c.namespace, c.items, 0 AS unindexed, 0 AS documents, 0 AS bytes
        FROM knowledge.namespaces c
        UNION ALL
        SELECT c.namespace, c.items, 0, 0, 0 FROM knowledge.namespace_changes c
        UNION ALL
        SELECT i.namespace, 0, count(*), 0, 0
        FROM (SELECT p.knowledge_id FROM knowledge.index_states p WHERE p.state = 'pending'
              UNION ALL
              -- By an index of its own.
              SELECT f.knowledge_id FROM knowledge.index_states f WHERE f.state = 'failed') s
        JOIN knowledge.knowledge_items i USING (knowledge_id) GROUP BY 1
        UNION ALL
        SELECT d.namespace, 0, 0, count(*), sum(d.size) FROM knowledge.documents d
        WHERE d.state NOT IN ('storing', 'deleting') GROUP BY 1
    ) n
    WHERE n.namespace > all_shelves.after
    GROUP BY 1
$$;

CREATE FUNCTION knowledge.shelves_of(subject_ids uuid[], after text) RETURNS TABLE (
    namespace text, items numeric, unindexed_items bigint, documents bigint,
    document_bytes numeric, last_occurred_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT n.namespace, sum(n.items), sum(n.unindexed)::bigint, sum(n.documents)::bigint,
           sum(n.bytes), max(n.last)
    FROM (
        SELECT i.namespace, count(*) AS items, 0 AS documents, 0 AS bytes,
               count(*) FILTER (WHERE s.state IN ('pending', 'failed')) AS unindexed,
               max(i.occurred_at) AS last
        FROM knowledge.knowledge_items i JOIN knowledge.index_states s USING (knowledge_id)
        WHERE i.subject_id = ANY (shelves_of.subject_ids) AND i.deleted_at IS NULL GROUP BY 1
        UNION ALL
        SELECT d.namespace, 0, count(*), sum(d.size), 0, NULL FROM knowledge.documents d
        WHERE d.subject_id = ANY (shelves_of.subject_ids)
          AND d.state NOT IN ('storing', 'deleting') GROUP BY 1
    ) n
    WHERE n.namespace > shelves_of.after
    GROUP BY 1
$$;

-- The shelves that something stands on, in order of name; of some subjects, or of everybody.
CREATE FUNCTION knowledge.list_namespaces(subject_ids text[], after text, most integer)
RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    page jsonb;
BEGIN
    IF list_namespaces.subject_ids IS NULL THEN
        SELECT jsonb_agg(to_jsonb(p)) INTO page
        FROM (SELECT * FROM knowledge.all_shelves(list_namespaces.after)
              WHERE items > 0 OR documents > 0 ORDER BY namespace LIMIT most) p;
    ELSE
        SELECT jsonb_agg(to_jsonb(p)) INTO page
        FROM (SELECT * FROM knowledge.shelves_of(
                  list_namespaces.subject_ids::uuid[], list_namespaces.after)
              ORDER BY namespace LIMIT most) p;
    END IF;
    RETURN coalesce(page, '[]');
END $$;
