-- What was given up is seen and tried again in any space, also in one that does not serve yet.

-- Items that were given up in any space in use, the last first, from below a place on; {"total",
-- "letters"}. Of each space one limited scan is merged.
CREATE OR REPLACE FUNCTION knowledge.list_dead_letters(
    namespaces text[], most integer,
    before_time timestamptz DEFAULT NULL, before_id uuid DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT jsonb_build_object('total', (
            SELECT count(*) FROM knowledge.spaces p
            JOIN knowledge.space_states s USING (space_id)
            JOIN knowledge.knowledge_items i USING (knowledge_id)
            WHERE p.state <> 'dropping' AND s.state = 'failed'
              AND (list_dead_letters.namespaces IS NULL
                   OR i.namespace = ANY (list_dead_letters.namespaces))
        ), 'letters', coalesce(jsonb_agg(to_jsonb(l)), '[]'))
        FROM (
            SELECT p.space, f.*
            FROM knowledge.spaces p
            CROSS JOIN LATERAL (
                SELECT s.knowledge_id, i.namespace, coalesce(s.last_error, '') AS error,
                       s.attempts, s.failed_at, s.pending_since
                FROM knowledge.space_states s
                JOIN knowledge.knowledge_items i USING (knowledge_id)
                WHERE s.space_id = p.space_id AND s.state = 'failed'
                  AND (list_dead_letters.namespaces IS NULL
                       OR i.namespace = ANY (list_dead_letters.namespaces))
                  AND (before_time IS NULL
                       OR (s.failed_at, s.knowledge_id) < (before_time, before_id))
                ORDER BY s.failed_at DESC, s.knowledge_id DESC LIMIT list_dead_letters.most
            ) f
            WHERE p.state <> 'dropping'
            ORDER BY f.failed_at DESC, f.knowledge_id DESC LIMIT list_dead_letters.most) l);
END $$;

-- Queues items again that were given up, in every space in use: those of the ids or, where they are
-- null, up to `most` of those given up until then, or until now. Answers {"replayed": how many,
-- "until"}.
CREATE OR REPLACE FUNCTION knowledge.replay_dead_letters(
    ids text[], most integer, until timestamptz
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = '' SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
DECLARE
    here integer;
    chosen uuid[] := replay_dead_letters.ids::uuid[];
    again bigint;
    replayed bigint := 0;
BEGIN
    -- The serving one first, as writers lock them.
    FOR here IN
        SELECT p.space_id FROM knowledge.spaces p
        WHERE p.state <> 'dropping' ORDER BY p.state <> 'serving'
    LOOP
        IF replay_dead_letters.ids IS NULL THEN
            chosen := ARRAY(
                SELECT s.knowledge_id FROM knowledge.space_states s
                WHERE s.space_id = here AND s.state = 'failed'
                  AND s.failed_at <= coalesce(replay_dead_letters.until, now())
                ORDER BY s.failed_at LIMIT replay_dead_letters.most - replayed);
        END IF;
        PERFORM FROM knowledge.space_states s
        WHERE s.space_id = here AND s.knowledge_id = ANY (chosen)
        ORDER BY s.knowledge_id FOR UPDATE;
        UPDATE knowledge.space_states s
        SET state = 'pending', attempts = 0, failed_at = NULL, lease_owner = NULL,
            pending_since = now(), next_attempt_at = now()
        WHERE s.space_id = here AND s.knowledge_id = ANY (chosen)
          AND (s.state = 'failed') IS TRUE;
        GET DIAGNOSTICS again = ROW_COUNT;
        replayed := replayed + again;
    END LOOP;
    RETURN jsonb_build_object(
        'replayed', replayed, 'until', coalesce(replay_dead_letters.until, now()));
END $$;
