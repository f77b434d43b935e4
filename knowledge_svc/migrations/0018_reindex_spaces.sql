-- The queue of each space, and how one space gives way to another.
-- ZK018: there is no such space; {"space"}.
-- ZK019: the space is in no state for that; {"space", "state"}.
--
-- Where ids say which rows, what else is asked of them is kept from the planner: a row has an owner
-- only while it waits, or `IS TRUE`. It would rather look through the queue for them, by an index
-- that is small as far as it knows, and large whenever that matters.

-- The next items of a space that is being built: up to a thousand wait in its queue at a time, so
-- that what is written meanwhile does not wait behind all that there was. Whoever finds another at
-- it leaves it to that.
CREATE FUNCTION knowledge.fill_space(space_id integer, most integer) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    after uuid;
    page uuid[];
BEGIN
    SELECT s.filled_to INTO after FROM knowledge.spaces s
    WHERE s.space_id = fill_space.space_id AND s.state = 'building' AND NOT s.is_filled
    FOR UPDATE SKIP LOCKED;
    IF after IS NULL OR (
        SELECT count(*) FROM (
            SELECT FROM knowledge.space_states s
            WHERE s.space_id = fill_space.space_id AND s.state = 'pending'
              AND s.next_attempt_at <= now()
            LIMIT fill_space.most) due
    ) >= fill_space.most THEN
        RETURN;
    END IF;
    -- Deletions and new writes lock the items, too: they wait and then find these rows. An item
    -- that is not seen here was written by somebody who knows of the space (`set_following`).
    page := ARRAY(
        SELECT i.knowledge_id FROM knowledge.knowledge_items i
        WHERE i.knowledge_id > after ORDER BY i.knowledge_id LIMIT 1000 FOR KEY SHARE);
    INSERT INTO knowledge.space_states (knowledge_id, space_id, revision, pending_since)
    SELECT s.knowledge_id, fill_space.space_id, s.revision, s.pending_since
    FROM knowledge.index_states s
    WHERE s.knowledge_id = ANY (page) AND s.state <> 'deleting'
    ORDER BY s.knowledge_id
    ON CONFLICT DO NOTHING;
    UPDATE knowledge.spaces s
    SET filled_to = coalesce(page[cardinality(page)], s.filled_to),
        is_filled = cardinality(page) < 1000
    WHERE s.space_id = fill_space.space_id;
END $$;

-- Up to `most` rows of a kind, `pending` or `deleting`, that are due in a space, oldest first, and no
-- more than fit in `most_bytes` of content, one at least. `owner` holds them for a while; another
-- replica takes them up when that is over. Answers what is to be done with each. Without a space
-- this and what follows are about the serving one. Deletions begin and end there: see
-- `pending_removals` for the other.
DROP FUNCTION knowledge.claim_pending(text, integer, integer);
CREATE FUNCTION knowledge.claim_pending(
    owner text, most integer, lease_ms integer,
    kind text DEFAULT 'pending', most_bytes integer DEFAULT 2147483647, space text DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    here integer := knowledge.id_of_space(claim_pending.space);
    serves boolean := claim_pending.space IS NULL OR EXISTS (
        SELECT FROM knowledge.spaces s WHERE s.space_id = here AND s.state = 'serving');
    work jsonb;
BEGIN
    IF NOT serves THEN
        IF claim_pending.kind = 'deleting' THEN
            RETURN '[]';
        END IF;
        PERFORM knowledge.fill_space(here, claim_pending.most);
    END IF;
    WITH due AS MATERIALIZED (
        SELECT s.knowledge_id, s.next_attempt_at, s.revision FROM knowledge.space_states s
        WHERE s.space_id = here AND s.state = claim_pending.kind
          AND s.state IN ('pending', 'deleting') AND s.next_attempt_at <= now()
        ORDER BY s.next_attempt_at, s.revision
        LIMIT claim_pending.most FOR UPDATE SKIP LOCKED
    ), sized AS (
        SELECT d.knowledge_id, sum(octet_length(i.content)) OVER (
                   ORDER BY d.next_attempt_at, d.revision) - octet_length(i.content) AS before
        FROM due d JOIN knowledge.knowledge_items i USING (knowledge_id)
    ), claimed AS (
        UPDATE knowledge.space_states s
        SET lease_owner = claim_pending.owner,
            next_attempt_at = now() + make_interval(secs => claim_pending.lease_ms / 1000.0)
        FROM sized
        WHERE s.knowledge_id = sized.knowledge_id AND s.space_id = here
          AND (sized.before < claim_pending.most_bytes OR s.state = 'deleting')
        RETURNING s.knowledge_id, s.revision, s.state, s.attempts, s.pending_since
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'knowledge_id', c.knowledge_id, 'revision', c.revision,
               'is_deletion', c.state = 'deleting', 'attempts', c.attempts,
               'waited_seconds', extract(epoch FROM now() - c.pending_since),
               'content', CASE c.state WHEN 'pending' THEN i.content ELSE '' END,
               'namespace', i.namespace, 'subject_id', i.subject_id,
               'group_id', i.group_id, 'session_id', i.session_id,
               'occurred_at', i.occurred_at) ORDER BY c.revision), '[]')
    INTO work
    FROM claimed c JOIN knowledge.knowledge_items i USING (knowledge_id);
    RETURN work;
END $$;

-- Holds rows a while longer, those of the ids that `owner` holds; 0 lets go of them.
CREATE FUNCTION knowledge.renew_leases(
    ids text[], owner text, lease_ms integer, space text DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    here integer := knowledge.id_of_space(renew_leases.space);
    kept uuid[] := renew_leases.ids::uuid[];
BEGIN
    PERFORM FROM knowledge.space_states s
    WHERE s.space_id = here AND s.knowledge_id = ANY (kept) ORDER BY s.knowledge_id FOR UPDATE;
    UPDATE knowledge.space_states s
    SET next_attempt_at = now() + make_interval(secs => renew_leases.lease_ms / 1000.0)
    WHERE s.space_id = here AND s.knowledge_id = ANY (kept)
      AND s.lease_owner = renew_leases.owner;
    RETURN 'null';
END $$;

-- Says that these writes, [{"knowledge_id", "revision", "embedding_model"}], are in the space. A row
-- that has changed since is pending, and due unless somebody else is at it. Answers the ids of
-- items that are gone or going: their vectors are to be removed again.
DROP FUNCTION knowledge.mark_indexed(jsonb);
CREATE FUNCTION knowledge.mark_indexed(marks jsonb, owner text, space text DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    here integer := knowledge.id_of_space(mark_indexed.space);
    ids uuid[];
BEGIN
    ids := ARRAY(
        SELECT s.knowledge_id FROM knowledge.space_states s
        WHERE s.space_id = here AND s.knowledge_id = ANY (ARRAY(
            SELECT (m ->> 'knowledge_id')::uuid FROM jsonb_array_elements(marks) m))
          AND s.state <> 'deleting'
        ORDER BY s.knowledge_id FOR UPDATE);
    WITH mark AS (
        SELECT m.*, s.revision = m.revision AS is_latest,
               s.lease_owner <> mark_indexed.owner AND s.next_attempt_at > now() AS is_elsewhere
        FROM jsonb_to_recordset(marks) m (
            knowledge_id uuid, revision bigint, embedding_model text)
        JOIN knowledge.space_states s USING (knowledge_id)
        WHERE s.space_id = here AND s.knowledge_id = ANY (ids)
    )
    UPDATE knowledge.space_states s
    SET state = CASE WHEN m.is_latest THEN 'indexed' ELSE 'pending' END,
        embedding_model = CASE WHEN m.is_latest THEN m.embedding_model END,
        lease_owner = CASE WHEN NOT m.is_latest AND m.is_elsewhere THEN s.lease_owner END,
        next_attempt_at = CASE WHEN m.is_latest OR m.is_elsewhere THEN s.next_attempt_at
                               ELSE now() END,
        attempts = 0, last_error = NULL, failed_at = NULL
    FROM mark m WHERE s.space_id = here AND s.knowledge_id = m.knowledge_id;
    RETURN (
        SELECT coalesce(jsonb_agg(m ->> 'knowledge_id'), '[]')
        FROM jsonb_array_elements(marks) m
        WHERE (m ->> 'knowledge_id')::uuid <> ALL (ids));
END $$;

-- Puts off what failed, [{"knowledge_id", "revision", "attempts", "delay_seconds", "is_final",
-- "error"}], as far as `owner` holds it; an item whose failure is final is given up, a deletion
-- never is. A later write than the one that failed is due at once.
DROP FUNCTION knowledge.put_off(jsonb);
CREATE FUNCTION knowledge.put_off(failures jsonb, owner text, space text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    here integer := knowledge.id_of_space(put_off.space);
BEGIN
    PERFORM FROM knowledge.space_states s
    WHERE s.space_id = here AND s.knowledge_id = ANY (ARRAY(
        SELECT (f ->> 'knowledge_id')::uuid FROM jsonb_array_elements(failures) f))
    ORDER BY s.knowledge_id FOR UPDATE;
    WITH failure AS (
        SELECT f.*, s.revision = f.revision AS is_latest,
               s.state = 'pending' AND f.is_final AND s.revision = f.revision AS is_given_up
        FROM jsonb_to_recordset(failures) f (
            knowledge_id uuid, revision bigint, attempts integer, delay_seconds float8,
            is_final boolean, error text)
        JOIN knowledge.space_states s USING (knowledge_id)
        WHERE s.space_id = here AND s.lease_owner = put_off.owner
    )
    UPDATE knowledge.space_states s
    SET lease_owner = NULL,
        state = CASE WHEN f.is_given_up THEN 'failed' ELSE s.state END,
        failed_at = CASE WHEN f.is_given_up THEN now() END,
        attempts = CASE WHEN f.is_latest THEN f.attempts ELSE s.attempts END,
        last_error = CASE WHEN f.is_latest THEN f.error ELSE s.last_error END,
        next_attempt_at = CASE WHEN f.is_latest
            THEN now() + make_interval(secs => f.delay_seconds) ELSE now() END
    FROM failure f WHERE s.space_id = here AND s.knowledge_id = f.knowledge_id;
    RETURN 'null';
END $$;

-- Those of the writes, [{"knowledge_id", "revision"}], in order, that still wait to be indexed.
CREATE OR REPLACE FUNCTION knowledge.pending_writes(writes jsonb) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(w.value ORDER BY w.place), '[]')
    FROM jsonb_array_elements(pending_writes.writes) WITH ORDINALITY w (value, place)
    JOIN knowledge.index_states s ON s.knowledge_id = (w.value ->> 'knowledge_id')::uuid
    WHERE (s.state = 'pending') IS TRUE AND s.revision >= (w.value -> 'revision')::bigint
$$;

-- Last step of deletions: the vectors are gone, now the rows. Only those that `owner` holds.
CREATE OR REPLACE FUNCTION knowledge.finish_deletions(ids text[], owner text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    leaving uuid[] := finish_deletions.ids::uuid[];
BEGIN
    PERFORM FROM knowledge.knowledge_items i
    WHERE i.knowledge_id = ANY (leaving) ORDER BY i.knowledge_id FOR UPDATE;
    DELETE FROM knowledge.knowledge_items i
    USING knowledge.index_states s
    WHERE i.knowledge_id = ANY (leaving) AND s.knowledge_id = i.knowledge_id
      AND (s.state = 'deleting') IS TRUE AND s.lease_owner = finish_deletions.owner;
    RETURN 'null';
END $$;

-- How many rows wait, for how long the oldest has, and how many were given up.
DROP FUNCTION knowledge.backlog();
CREATE FUNCTION knowledge.backlog(space text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT jsonb_build_object(
        'rows', count(*),
        'oldest_seconds', coalesce(extract(epoch FROM now() - min(s.pending_since)), 0),
        'dead_letters', (
            SELECT count(*) FROM knowledge.space_states f
            WHERE f.space_id = knowledge.id_of_space(backlog.space) AND f.state = 'failed'))
    FROM knowledge.space_states s
    WHERE s.space_id = knowledge.id_of_space(backlog.space) AND s.state IN ('pending', 'deleting')
$$;

-- Whether all that was written before a space was begun, or more than five seconds ago, is in it or
-- was given up there.
CREATE FUNCTION knowledge.has_caught_up(space_id integer) RETURNS boolean
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT EXISTS (
        SELECT FROM knowledge.spaces p
        WHERE p.space_id = has_caught_up.space_id AND p.is_filled AND NOT EXISTS (
            SELECT FROM knowledge.space_states s
            WHERE s.space_id = p.space_id AND s.state = 'pending'
              AND s.pending_since < greatest(p.created_at, now() - interval '5 seconds')))
$$;

-- The spaces, the serving one first, with how many items are in each and how many are not.
CREATE FUNCTION knowledge.describe_spaces() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    WITH counted AS (
        SELECT s.space_id, count(*) FILTER (WHERE s.state = 'indexed') AS indexed,
               count(*) FILTER (WHERE s.state = 'pending') AS pending,
               count(*) FILTER (WHERE s.state = 'failed') AS failed,
               count(*) FILTER (WHERE s.state <> 'deleting') AS items
        FROM knowledge.space_states s GROUP BY s.space_id
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'name', p.space, 'model', p.model, 'dimension', p.dimension,
               'chunker', p.chunker, 'state', p.state, 'created_at', p.created_at,
               'indexed_items', coalesce(c.indexed, 0),
               -- Of those not yet in the queue nobody knows but how many they are.
               'pending_items', CASE
                   WHEN p.is_filled THEN coalesce(c.pending, 0)
                   ELSE greatest(coalesce(v.items, 0) - coalesce(c.items, 0), 0)
                        + coalesce(c.pending, 0) END,
               'failed_items', coalesce(c.failed, 0),
               'has_caught_up', knowledge.has_caught_up(p.space_id))
               ORDER BY p.state <> 'serving', p.space_id), '[]')
    FROM knowledge.spaces p
    LEFT JOIN counted c USING (space_id)
    LEFT JOIN counted v
        ON v.space_id = (SELECT s.space_id FROM knowledge.spaces s WHERE s.state = 'serving')
$$;

-- What each space is for: what a process asks all the time.
CREATE FUNCTION knowledge.space_roles() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'name', s.space, 'model', s.model, 'dimension', s.dimension,
               'chunker', s.chunker, 'state', s.state)), '[]')
    FROM knowledge.spaces s
$$;

-- Begins to build a space; answers whether it did. False where it is being built or stands by.
CREATE FUNCTION knowledge.start_reindex(
    space text, model text, dimension integer, chunker text
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET lock_timeout = '3s' AS $$
#variable_conflict use_column
DECLARE
    other knowledge.spaces;
BEGIN
    -- One change of spaces at a time.
    PERFORM FROM knowledge.spaces s ORDER BY s.space_id FOR UPDATE;
    SELECT s.* INTO other FROM knowledge.spaces s
    WHERE s.space = start_reindex.space OR s.state IN ('building', 'standby')
    ORDER BY s.space <> start_reindex.space LIMIT 1;
    IF other.space = start_reindex.space AND other.state IN ('building', 'standby') THEN
        RETURN 'false';
    ELSIF other.space IS NOT NULL THEN
        RAISE EXCEPTION 'the space is in no state for that' USING ERRCODE = 'ZK019',
            DETAIL = jsonb_build_object('space', other.space, 'state', other.state);
    END IF;
    PERFORM knowledge.set_following(true);
    INSERT INTO knowledge.spaces (space, space_id, model, dimension, chunker, state, is_filled)
    SELECT start_reindex.space, max(s.space_id) + 1, start_reindex.model, start_reindex.dimension,
           start_reindex.chunker, 'building', false
    FROM knowledge.spaces s;
    RETURN 'true';
END $$;

-- Lets a space serve that has caught up; the one before stands by. One that serves is fine.
CREATE FUNCTION knowledge.switch_spaces(space text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET lock_timeout = '3s' AS $$
#variable_conflict use_column
DECLARE
    chosen knowledge.spaces;
BEGIN
    PERFORM FROM knowledge.spaces s ORDER BY s.space_id FOR UPDATE;
    SELECT s.* INTO chosen FROM knowledge.spaces s WHERE s.space = switch_spaces.space;
    IF chosen.space IS NULL THEN
        RAISE EXCEPTION 'there is no such space' USING ERRCODE = 'ZK018',
            DETAIL = jsonb_build_object('space', switch_spaces.space);
    ELSIF chosen.state = 'serving' THEN
        RETURN 'null';
    ELSIF chosen.state = 'dropping' OR NOT knowledge.has_caught_up(chosen.space_id) THEN
        RAISE EXCEPTION 'the space is in no state for that' USING ERRCODE = 'ZK019',
            DETAIL = jsonb_build_object('space', chosen.space, 'state', chosen.state);
    END IF;
    PERFORM knowledge.show_space(chosen.space_id);
    -- Deletions end where they can be seen; those that had nothing left to remove here have no row.
    INSERT INTO knowledge.space_states (knowledge_id, space_id, revision, state)
    SELECT s.knowledge_id, chosen.space_id, s.revision, 'deleting'
    FROM knowledge.space_states s JOIN knowledge.spaces v USING (space_id)
    WHERE v.state = 'serving' AND s.state = 'deleting'
    ORDER BY s.knowledge_id
    ON CONFLICT DO NOTHING;
    UPDATE knowledge.spaces s SET state = 'standby' WHERE s.state = 'serving';
    UPDATE knowledge.spaces s SET state = 'serving' WHERE s.space_id = chosen.space_id;
    RETURN 'null';
END $$;

-- First step of removing a space that does not serve: nothing follows there any more, and nobody
-- takes up its items. Answers whether this call began it.
CREATE FUNCTION knowledge.start_drop(space text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET lock_timeout = '3s' AS $$
#variable_conflict use_column
DECLARE
    chosen knowledge.spaces;
BEGIN
    PERFORM FROM knowledge.spaces s ORDER BY s.space_id FOR UPDATE;
    SELECT s.* INTO chosen FROM knowledge.spaces s WHERE s.space = start_drop.space;
    IF chosen.space IS NULL THEN
        RAISE EXCEPTION 'there is no such space' USING ERRCODE = 'ZK018',
            DETAIL = jsonb_build_object('space', start_drop.space);
    ELSIF chosen.state = 'dropping' THEN
        RETURN 'false';
    ELSIF chosen.state = 'serving' THEN
        RAISE EXCEPTION 'the space is in no state for that' USING ERRCODE = 'ZK019',
            DETAIL = jsonb_build_object('space', chosen.space, 'state', chosen.state);
    END IF;
    PERFORM knowledge.set_following(false);
    UPDATE knowledge.spaces s SET state = 'dropping' WHERE s.space_id = chosen.space_id;
    RETURN 'true';
END $$;

-- The spaces whose vectors can be dropped: those being removed that no indexer writes to any more.
CREATE FUNCTION knowledge.droppable_spaces() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(p.space), '[]') FROM knowledge.spaces p
    WHERE p.state = 'dropping' AND NOT EXISTS (
        SELECT FROM knowledge.space_states s
        WHERE s.space_id = p.space_id AND s.state IN ('pending', 'deleting')
          AND s.lease_owner IS NOT NULL AND s.next_attempt_at > now())
$$;

-- Last step, after the vectors are gone, in steps of up to `most` rows; answers whether it is done.
CREATE FUNCTION knowledge.forget_space(space text, most integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    chosen integer;
    forgotten bigint;
BEGIN
    SELECT s.space_id INTO chosen FROM knowledge.spaces s
    WHERE s.space = forget_space.space AND s.state = 'dropping' FOR UPDATE;
    IF chosen IS NULL THEN
        RETURN 'true';
    END IF;
    WITH batch AS (
        SELECT s.knowledge_id FROM knowledge.space_states s
        WHERE s.space_id = chosen ORDER BY s.knowledge_id LIMIT forget_space.most FOR UPDATE
    ), gone AS (
        DELETE FROM knowledge.space_states s USING batch
        WHERE s.knowledge_id = batch.knowledge_id AND s.space_id = chosen
        RETURNING s.knowledge_id
    )
    SELECT count(*) INTO forgotten FROM gone;
    IF forgotten = forget_space.most THEN
        RETURN 'false';
    END IF;
    DELETE FROM knowledge.spaces s WHERE s.space_id = chosen;
    RETURN 'true';
END $$;

-- Items that are being deleted and may have a vector in the partner of the serving space, up to
-- `most`; not those that its indexer is at just now.
CREATE FUNCTION knowledge.pending_removals(space text, most integer) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(r.knowledge_id), '[]') FROM (
        SELECT s.knowledge_id
        FROM knowledge.space_states s JOIN knowledge.spaces p USING (space_id)
        WHERE p.space = pending_removals.space AND p.state IN ('building', 'standby')
          AND s.state = 'deleting' AND s.next_attempt_at <= now()
        ORDER BY s.next_attempt_at, s.revision LIMIT pending_removals.most) r
$$;

-- Says that these have no vector in the partner any more: the deletions can be finished.
CREATE FUNCTION knowledge.forget_removals(space text, ids text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    partner integer;
    gone uuid[] := forget_removals.ids::uuid[];
BEGIN
    -- It does not begin to serve meanwhile: then the deletions would have no row to end by.
    SELECT p.space_id INTO partner FROM knowledge.spaces p
    WHERE p.space = forget_removals.space AND p.state IN ('building', 'standby') FOR SHARE;
    WITH batch AS (
        SELECT s.knowledge_id, s.space_id FROM knowledge.space_states s
        WHERE s.space_id = partner AND s.knowledge_id = ANY (gone)
          AND (s.state = 'deleting') IS TRUE AND s.next_attempt_at <= now()
        ORDER BY s.knowledge_id FOR UPDATE
    )
    DELETE FROM knowledge.space_states s USING batch
    WHERE s.knowledge_id = batch.knowledge_id AND s.space_id = batch.space_id;
    RETURN 'null';
END $$;

-- Has documents read again whose pieces another chunker made, up to `most` of them; answers how
-- many. Their pieces stay until the new ones are there.
CREATE FUNCTION knowledge.reread_documents(chunker text, most integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    held uuid[] := knowledge.hold_documents(ARRAY(
        SELECT d.document_id FROM knowledge.documents d
        WHERE d.is_latest AND d.state = 'succeeded' AND d.chunker <> reread_documents.chunker
          AND NOT EXISTS (SELECT FROM knowledge.erased_subjects e
                          WHERE e.subject_id IN (d.subject_id, d.person_id))
        ORDER BY d.document_id LIMIT reread_documents.most));
    due uuid[];
BEGIN
    -- Those that nobody has changed, or has had read, before they were held.
    due := ARRAY(
        SELECT d.document_id FROM knowledge.documents d
        WHERE d.document_id = ANY (held) AND d.is_latest AND d.state = 'succeeded'
          AND d.chunker <> reread_documents.chunker);
    PERFORM knowledge.read_anew(due);
    RETURN to_jsonb(cardinality(due));
END $$;
