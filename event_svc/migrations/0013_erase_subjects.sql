-- Erasure: nothing is logged about subjects any more, and what was is shredded in steps.

-- How far the shredding has come. No event about a subject stands after its notice.
ALTER TABLE event.tombstones ADD COLUMN notice_position bigint;
ALTER TABLE event.tombstones ADD COLUMN shredded_position bigint NOT NULL DEFAULT 0;
ALTER TABLE event.tombstones ADD COLUMN is_shredded boolean NOT NULL DEFAULT false;
ALTER TABLE event.tombstones ADD COLUMN erased bigint NOT NULL DEFAULT 0;

-- Refuses subjects from now on; answers how many were not refused before. Each of those
-- gets a notice without content, of type `erasure` on platform `kith`, in the same
-- transaction, so that it stands after everything that was ever logged about it.
CREATE FUNCTION event.begin_erasure(subject_ids text[]) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE
    fresh uuid[];
    positions bigint[];
BEGIN
    PERFORM event.lock_past(), event.lock_log();
    fresh := ARRAY(
        SELECT unnest(begin_erasure.subject_ids)::uuid
        EXCEPT SELECT t.subject_id FROM event.tombstones t ORDER BY 1);
    IF fresh <> '{}' THEN
        -- Before the tombstones, which refuse notices too.
        positions := event.append_notices((
            SELECT jsonb_agg(jsonb_build_object(
                'event_id', gen_random_uuid(), 'event_type', 'erasure', 'platform', 'kith',
                'person_id', s.subject_id) ORDER BY s.number)
            FROM unnest(fresh) WITH ORDINALITY s (subject_id, number)));
        -- Whether a subject is a person or a link is not known here.
        EXECUTE 'UPDATE event.event_log SET person_id = NULL
                 WHERE position = ANY ($1) AND created_at = $2'
        USING positions, (SELECT h.created_at FROM event.log_head h);
        INSERT INTO event.tombstones (subject_id, erased_at, notice_position)
        SELECT s.subject_id, clock_timestamp(), s.position
        FROM unnest(fresh, positions) s (subject_id, position);
    END IF;
    RETURN to_jsonb(cardinality(fresh));
END $$;

-- One step of shredding what was logged about erased subjects, at most `most_events` events
-- and ten times as many projection values: {"erased", "erased_in_all", "more"}. What a subject has
-- left is looked for in order of position from where the last step stopped; nothing new
-- comes in between.
--
-- What stays of an event: its id and place, its times, type, platform and consent version, and the
-- ids of subject, person, link and group, which mean nothing once identity has forgotten
-- them. The conversation goes: its id may be made of text. The key's record keeps the id alone.
CREATE FUNCTION event.erase_step(subject_ids text[], most_events integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s'
SET timezone = 'UTC' SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    pending event.tombstones[];
    each integer;
    since date;
    shredded bigint := 0;
BEGIN
    PERFORM event.lock_past();
    pending := ARRAY(
        SELECT t FROM event.tombstones t
        WHERE t.subject_id = ANY (erase_step.subject_ids::uuid[]) AND NOT t.is_shredded
        ORDER BY t.subject_id LIMIT 100);
    IF pending <> '{}' THEN
        each := greatest(erase_step.most_events / cardinality(pending), 1);
        DELETE FROM event.projection_values WHERE ctid = ANY (ARRAY(
            SELECT v.ctid FROM unnest(pending) t, event.projections p, event.projection_values v
            WHERE v.projection_id = p.projection_id AND v.subject_id = t.subject_id
            LIMIT erase_step.most_events * 10));
        since := (
            SELECT max(p.day) FROM event.partitions p
            WHERE p.first_position <= (SELECT min(t.shredded_position) + 1 FROM unnest(pending) t));
        EXECUTE '
            WITH chosen AS (
                SELECT e.* FROM unnest($1) t CROSS JOIN LATERAL (
                    SELECT e.subject_id, e.event_id, e.position, e.created_at
                    FROM event.event_log e
                    -- Said so that no index but the one by subject has this order.
                    WHERE e.subject_id >= t.subject_id AND e.subject_id <= t.subject_id
                      AND e.position > t.shredded_position
                      AND e.position < coalesce(t.notice_position, 9223372036854775807)
                      AND e.created_at >= $3
                    ORDER BY e.subject_id, e.position LIMIT $2
                ) e
            ), shredded AS (
                UPDATE event.event_log e
                SET content = ''{}'', metadata = ''{}'', session_id = NULL, session_key = NULL,
                    redacted_at = coalesce(e.redacted_at, clock_timestamp()),
                    redaction_reason = ''erased''
                FROM chosen c
                WHERE e.position = c.position AND e.created_at = c.created_at
                  AND e.created_at >= $3
            ), forgotten AS (
                UPDATE event.event_ids i SET body_hash = NULL, position = NULL
                FROM chosen c WHERE i.event_id = c.event_id
            ), progress AS (
                UPDATE event.tombstones t
                SET erased = t.erased + p.events, is_shredded = p.is_done,
                    shredded_position = coalesce(p.position, t.shredded_position)
                FROM (
                    SELECT t.subject_id, count(c.position) AS events, max(c.position) AS position,
                           count(c.position) < $2 AND NOT EXISTS (
                               SELECT FROM event.projections p, event.projection_values v
                               WHERE v.projection_id = p.projection_id
                                 AND v.subject_id = t.subject_id) AS is_done
                    FROM unnest($1) t LEFT JOIN chosen c USING (subject_id)
                    GROUP BY t.subject_id
                ) p
                WHERE t.subject_id = p.subject_id
            )
            SELECT count(*) FROM chosen'
        INTO shredded
        USING pending, each, coalesce(event.start_of(since), '-infinity');
    END IF;
    RETURN (
        SELECT jsonb_build_object(
            'erased', shredded, 'erased_in_all', coalesce(sum(t.erased), 0),
            'more', coalesce(bool_or(NOT t.is_shredded), false))
        FROM event.tombstones t WHERE t.subject_id = ANY (erase_step.subject_ids::uuid[]));
END $$;

-- What is left of subjects, by looking at every event and value of theirs and at no mark
-- of progress: {"readable", "total", "projection_values"}. Notices are not events of theirs.
CREATE FUNCTION event.count_subjects(subject_ids text[]) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
SET plan_cache_mode = 'force_custom_plan' AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'readable', count(*) FILTER (
                WHERE e.content <> '{}' OR e.metadata <> '{}' OR e.session_key IS NOT NULL),
            'total', count(*),
            'projection_values', (
                SELECT count(*) FROM event.projections p, event.projection_values v
                WHERE v.projection_id = p.projection_id
                  AND v.subject_id = ANY (count_subjects.subject_ids::uuid[])))
        FROM event.event_log e
        WHERE e.subject_id = ANY (count_subjects.subject_ids::uuid[])
          AND NOT EXISTS (SELECT FROM event.tombstones t
                          WHERE t.subject_id = e.subject_id AND t.notice_position = e.position));
END $$;
