-- How far each space is with each item. One space serves; at most one more, its partner, is being
-- built or stands by, and follows every write. What reads and writes `index_states` means the
-- serving space: it is a view of the rows of that space, and no such code need know that there are
-- others. What works for one space, whatever that is for, names it and uses `space_states`.

ALTER TABLE knowledge.spaces DROP CONSTRAINT spaces_state_check;
UPDATE knowledge.spaces SET state = 'dropping' WHERE state = 'retired';
ALTER TABLE knowledge.spaces
    ADD CHECK (state IN ('building', 'serving', 'standby', 'dropping')),
    -- What stands for it in `space_states`; 1 is that of the first.
    ADD COLUMN space_id integer,
    -- While it is filled: items up to this id wait for their vector or have it.
    ADD COLUMN filled_to uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN is_filled boolean NOT NULL DEFAULT true;
UPDATE knowledge.spaces s SET space_id = o.place
FROM (SELECT space, row_number() OVER (ORDER BY state = 'serving' DESC, created_at) AS place
      FROM knowledge.spaces) o
WHERE o.space = s.space;
ALTER TABLE knowledge.spaces ALTER COLUMN space_id SET NOT NULL, ADD UNIQUE (space_id);

-- The item's columns and the state of its vector in one space; no row: not to be indexed there (yet).
-- Functions that take a row of `index_states` take one of the view from now on.
DO $$
DECLARE
    takers oid[] := ARRAY(SELECT p.oid FROM pg_catalog.pg_proc p
                          WHERE 'knowledge.index_states'::regtype = ANY (p.proargtypes));
    definitions text[] := ARRAY(SELECT pg_get_functiondef(t) FROM unnest(takers) t);
    taker oid;
    definition text;
BEGIN
    FOREACH taker IN ARRAY takers LOOP
        EXECUTE format('DROP FUNCTION %s', taker::regprocedure);
    END LOOP;
    ALTER TABLE knowledge.index_states RENAME TO space_states;
    ALTER TABLE knowledge.space_states ADD COLUMN space_id integer NOT NULL DEFAULT 1;
    ALTER TABLE knowledge.space_states ALTER COLUMN space_id DROP DEFAULT;
    ALTER TABLE knowledge.space_states DROP CONSTRAINT index_states_pkey;
    ALTER TABLE knowledge.space_states ADD PRIMARY KEY (knowledge_id, space_id);
    DROP INDEX knowledge.index_states_to_do;
    DROP INDEX knowledge.index_states_failed;
    CREATE INDEX space_states_to_do
        ON knowledge.space_states (space_id, state, next_attempt_at, revision)
        WHERE state IN ('pending', 'deleting');
    CREATE INDEX space_states_failed ON knowledge.space_states (space_id, failed_at, knowledge_id)
        WHERE state = 'failed';
    CREATE VIEW knowledge.index_states AS
        SELECT * FROM knowledge.space_states WHERE space_id = 1;
    ALTER VIEW knowledge.index_states ALTER COLUMN space_id SET DEFAULT 1;
    FOREACH definition IN ARRAY definitions LOOP
        EXECUTE definition;
    END LOOP;
END $$;

-- Lets `index_states` show another space. It waits for whoever uses the view just now and holds
-- up others until the end of the transaction: each of them sees the one or the other.
CREATE FUNCTION knowledge.show_space(space_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE VIEW knowledge.index_states AS
             SELECT * FROM knowledge.space_states WHERE space_id = %1$s;
         ALTER VIEW knowledge.index_states ALTER COLUMN space_id SET DEFAULT %1$s',
        show_space.space_id);
END $$;

-- The three triggers below make the partner follow, whoever writes. They are enabled while there is
-- one, so that nobody pays for them else.

CREATE FUNCTION knowledge.follow_stores() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
BEGIN
    -- The rows added here, too, bring it about again.
    IF NOT EXISTS (SELECT FROM written w JOIN knowledge.spaces s USING (space_id)
                   WHERE s.state = 'serving') THEN
        RETURN NULL;
    END IF;
    -- A repair adds rows of deletions: then the partner may have a vector, and had a row all along.
    INSERT INTO knowledge.space_states AS held (knowledge_id, space_id, revision, state)
    SELECT w.knowledge_id, p.space_id, w.revision,
           CASE w.state WHEN 'deleting' THEN 'deleting' ELSE 'pending' END
    FROM written w
    JOIN knowledge.spaces s ON s.space_id = w.space_id AND s.state = 'serving'
    CROSS JOIN knowledge.spaces p
    WHERE p.state IN ('building', 'standby')
    ORDER BY w.knowledge_id
    ON CONFLICT (knowledge_id, space_id) DO UPDATE
    SET state = 'deleting', pending_since = now(),
        lease_owner = CASE WHEN held.state = 'pending' AND held.next_attempt_at > now()
            THEN held.lease_owner END,
        next_attempt_at = CASE WHEN held.state = 'pending' AND held.lease_owner IS NOT NULL
            THEN greatest(held.next_attempt_at, now()) ELSE now() END
    WHERE excluded.state = 'deleting' AND held.state <> 'deleting';
    RETURN NULL;
END $$;

CREATE TRIGGER partner_follows_stores AFTER INSERT ON knowledge.space_states
    REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION knowledge.follow_stores();

-- A new write of an item is one for the partner, too (where its vector does not change, the partner's
-- does not either), and so is a deletion that begins. What the partner's indexer holds it keeps:
-- its vector may be on the way.
CREATE FUNCTION knowledge.follow_changes() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
DECLARE
    changed uuid[];
    leaving uuid[];
BEGIN
    SELECT array_agg(w.knowledge_id ORDER BY w.knowledge_id) FILTER (WHERE w.state <> 'deleting'),
           array_agg(w.knowledge_id) FILTER (WHERE w.state = 'deleting')
    INTO changed, leaving
    FROM written w
    JOIN was o USING (knowledge_id, space_id)
    JOIN knowledge.spaces s ON s.space_id = w.space_id AND s.state = 'serving'
    WHERE w.revision <> o.revision OR (w.state = 'deleting' AND o.state <> 'deleting');
    IF changed IS NOT NULL THEN
        UPDATE knowledge.space_states s SET revision = h.revision
        FROM (
            SELECT l.knowledge_id, l.space_id, w.revision
            FROM knowledge.space_states l
            JOIN knowledge.spaces p ON p.space_id = l.space_id AND p.state IN ('building', 'standby')
            JOIN written w ON w.knowledge_id = l.knowledge_id
            WHERE l.knowledge_id = ANY (changed) AND w.state = 'indexed' AND l.state = 'indexed'
            ORDER BY l.knowledge_id FOR UPDATE OF l
        ) h
        WHERE s.knowledge_id = h.knowledge_id AND s.space_id = h.space_id;
        INSERT INTO knowledge.space_states AS held (knowledge_id, space_id, revision)
        SELECT w.knowledge_id, p.space_id, w.revision
        FROM written w CROSS JOIN knowledge.spaces p
        WHERE w.knowledge_id = ANY (changed) AND p.state IN ('building', 'standby')
        ORDER BY w.knowledge_id
        ON CONFLICT (knowledge_id, space_id) DO UPDATE
        SET revision = excluded.revision, state = 'pending', attempts = 0, last_error = NULL,
            failed_at = NULL, pending_since = now(),
            -- As in `replace_items`: whoever is at it finds when marking that there is a later write.
            lease_owner = CASE WHEN held.state = 'pending' AND held.next_attempt_at > now()
                THEN held.lease_owner END,
            next_attempt_at = CASE WHEN held.state = 'pending' AND held.lease_owner IS NOT NULL
                THEN greatest(held.next_attempt_at, now()) ELSE now() END
        WHERE held.revision < excluded.revision AND held.state <> 'deleting';
    END IF;
    IF leaving IS NOT NULL THEN
        UPDATE knowledge.space_states s
        SET state = 'deleting', pending_since = now(),
            lease_owner = CASE WHEN h.by_indexer THEN s.lease_owner END,
            next_attempt_at = CASE WHEN h.by_indexer THEN s.next_attempt_at ELSE now() END
        FROM (
            SELECT l.knowledge_id, l.space_id, l.state = 'pending' AND l.lease_owner IS NOT NULL
                   AND l.next_attempt_at > now() AS by_indexer
            FROM knowledge.space_states l JOIN knowledge.spaces p USING (space_id)
            WHERE l.knowledge_id = ANY (leaving) AND p.state IN ('building', 'standby')
            ORDER BY l.knowledge_id FOR UPDATE OF l
        ) h
        WHERE s.knowledge_id = h.knowledge_id AND s.space_id = h.space_id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER partner_follows_changes AFTER UPDATE ON knowledge.space_states
    REFERENCING OLD TABLE AS was NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION knowledge.follow_changes();

-- A row does not go while the partner may have a vector of it. Whoever finishes a deletion has done
-- its part: the queue comes back to it until that one is gone, too (`forget_removals`).
CREATE FUNCTION knowledge.keep_until_removed() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF EXISTS (SELECT FROM knowledge.space_states s JOIN knowledge.spaces p USING (space_id)
               WHERE s.knowledge_id = OLD.knowledge_id AND p.state IN ('building', 'standby')) THEN
        UPDATE knowledge.index_states s
        SET lease_owner = NULL, next_attempt_at = now() + interval '0.5 seconds'
        -- Out of the planner's sight, which would look for the one row through the whole queue.
        WHERE s.knowledge_id = OLD.knowledge_id AND (s.state = 'deleting') IS TRUE;
        RETURN NULL;
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER partner_keeps_items BEFORE DELETE ON knowledge.knowledge_items
    FOR EACH ROW EXECUTE FUNCTION knowledge.keep_until_removed();

-- Has the partner follow, or not any more. It waits for the writers that did not know of it, and
-- holds up others until the end of the transaction.
CREATE FUNCTION knowledge.set_following(is_following boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
DECLARE
    word text := CASE WHEN is_following THEN 'ENABLE' ELSE 'DISABLE' END;
BEGIN
    EXECUTE format(
        'LOCK TABLE knowledge.knowledge_items, knowledge.space_states IN SHARE ROW EXCLUSIVE MODE;
         ALTER TABLE knowledge.knowledge_items %1$s TRIGGER partner_keeps_items;
         ALTER TABLE knowledge.space_states %1$s TRIGGER partner_follows_stores;
         ALTER TABLE knowledge.space_states %1$s TRIGGER partner_follows_changes', word);
END $$;

SELECT knowledge.set_following(false);

-- The serving space; where there is none yet, the one proposed.
CREATE OR REPLACE FUNCTION knowledge.ensure_space(
    space text, model text, dimension integer, chunker text
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO knowledge.spaces (space, space_id, model, dimension, chunker, state)
    SELECT ensure_space.space, 1, ensure_space.model, ensure_space.dimension, ensure_space.chunker,
           'serving'
    WHERE NOT EXISTS (SELECT FROM knowledge.spaces s WHERE s.state = 'serving')
    ON CONFLICT DO NOTHING;
    RETURN (
        SELECT jsonb_build_object('name', s.space, 'model', s.model, 'dimension', s.dimension,
                                  'chunker', s.chunker)
        FROM knowledge.spaces s WHERE s.state = 'serving');
END $$;

-- The name of the serving space; searches ask it each time.
CREATE FUNCTION knowledge.serving_space() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT to_jsonb(s.space) FROM knowledge.spaces s WHERE s.state = 'serving'
$$;

-- What stands for a space in `space_states`, for the serving one where no name is given; null where
-- there is none of the name, or it is being removed.
CREATE FUNCTION knowledge.id_of_space(space text) RETURNS integer
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT CASE WHEN id_of_space.space IS NULL
        THEN coalesce((SELECT s.space_id FROM knowledge.spaces s WHERE s.state = 'serving'), 1)
        ELSE (SELECT s.space_id FROM knowledge.spaces s
              WHERE s.space = id_of_space.space AND s.state <> 'dropping') END
$$;
