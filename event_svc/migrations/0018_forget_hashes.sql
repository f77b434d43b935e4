-- Redaction of events that retention has dropped: their ids stay, with a hash of what they said.

-- Takes away what events said, for good; answers the ids of those that still said it.
-- Unknown ids are passed over; of an event that retention has dropped the hash goes. For each
-- subject, group and conversation that lost something a notice is logged, of type `redaction`
-- on platform `kith`, with {"event_ids", "positions"}, so that whoever was shown the events is
-- shown it too.
CREATE OR REPLACE FUNCTION event.redact_events(event_ids text[], reason text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s'
SET timezone = 'UTC' SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    positions bigint[];
    times timestamptz[];
    counted jsonb;
    redacted jsonb;
    notices jsonb;
BEGIN
    PERFORM event.lock_past();
    SELECT array_agg(i.position), array_agg(i.created_at) INTO positions, times
    FROM (SELECT DISTINCT unnest(redact_events.event_ids)::uuid) given (event_id)
    JOIN event.event_ids i USING (event_id)
    WHERE i.position IS NOT NULL;
    counted := event.contributions_at(positions, times);

    EXECUTE '
        WITH redacted AS (
            UPDATE event.event_log e
            SET content = ''{}'', metadata = ''{}'', redacted_at = clock_timestamp(),
                redaction_reason = $5
            FROM unnest($1, $2) place (position, created_at)
            WHERE e.position = place.position AND e.created_at = place.created_at
              AND e.created_at >= $3 AND e.created_at <= $4 AND e.redacted_at IS NULL
            RETURNING e.*
        )
        SELECT jsonb_agg(to_jsonb(r) - ''content'' - ''metadata'' ORDER BY r.position)
        FROM redacted r'
    INTO redacted
    USING positions, times, (SELECT min(t) FROM unnest(times) t),
          (SELECT max(t) FROM unnest(times) t), redact_events.reason;
    -- A hash of what was said is made of what was said, also where the event itself is gone:
    -- a retry is a duplicate from now on, whatever it says.
    UPDATE event.event_ids i SET body_hash = NULL
    WHERE i.event_id = ANY (redact_events.event_ids::uuid[]) AND i.body_hash IS NOT NULL
      -- What was logged meanwhile still says what it said.
      AND i.position = ANY (positions);
    IF redacted IS NULL THEN
        RETURN '[]';
    END IF;
    PERFORM event.count_out(counted);

    PERFORM event.lock_log();
    SELECT jsonb_agg(n) INTO notices
    FROM (
        SELECT gen_random_uuid() AS event_id, 'redaction' AS event_type, 'kith' AS platform,
               r.link_id, CASE WHEN r.link_id IS NULL THEN r.person_id END AS person_id,
               r.group_id, r.session_id,
               jsonb_build_object(
                   'event_ids', jsonb_agg(r.event_id ORDER BY r.position),
                   'positions', jsonb_agg(r.position ORDER BY r.position)) AS content
        FROM jsonb_to_recordset(redacted) AS r (
            event_id uuid, position bigint, subject_id uuid, person_id uuid, link_id uuid,
            group_id uuid, session_id uuid)
        -- About these there is the notice of their erasure.
        WHERE NOT EXISTS (SELECT FROM event.tombstones t WHERE t.subject_id = r.subject_id)
        GROUP BY 4, 5, 6, 7
    ) n;
    IF notices IS NOT NULL THEN
        PERFORM event.append_notices(notices);
    END IF;
    RETURN (SELECT jsonb_agg(r -> 'event_id') FROM jsonb_array_elements(redacted) r);
END $$;
