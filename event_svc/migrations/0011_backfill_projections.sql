-- Counts older events into projections, a bounded piece at a time, beside appends.

-- One step: counts in up to `most_positions` positions of the oldest projection that lacks
-- some; where none does, removes up to as many values of a deleted one.
-- {"more", "remaining"}: whether there is work left, and how many positions of it.
--
-- Each event is counted once: newer ones than `since_position` by their own append, older
-- ones by the step that moves `backfilled_position` over them, in one transaction. The
-- past's lock keeps other steps, redactions and erasures out; appends go on, and share no
-- lock with it but those of the values that both count.
CREATE FUNCTION event.backfill_projections(most_positions integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET lock_timeout = '2s'
SET timezone = 'UTC' AS $$
#variable_conflict use_column
DECLARE
    chosen record;
    expired bigint;
    since date;
    until date;
BEGIN
    IF EXISTS (SELECT FROM event.projections p
               WHERE p.name IS NULL OR p.backfilled_position < p.since_position) THEN
        PERFORM event.lock_past();
        expired := (SELECT h.expired_position FROM event.log_head h);
        SELECT p.projection_id, greatest(p.backfilled_position, expired) AS after,
               least(greatest(p.backfilled_position, expired) + backfill_projections.most_positions,
                     p.since_position) AS up_to INTO chosen
        FROM event.projections p
        WHERE p.name IS NOT NULL AND p.backfilled_position < p.since_position
        ORDER BY p.projection_id LIMIT 1;
        IF FOUND THEN
            SELECT max(p.day) FILTER (WHERE p.first_position <= chosen.after + 1), max(p.day)
            INTO since, until
            FROM event.partitions p WHERE p.first_position <= chosen.up_to;
            PERFORM event.count_in(
                chosen.after, chosen.up_to, coalesce(event.start_of(since), '-infinity'),
                event.start_of(until + 1), chosen.projection_id);
            UPDATE event.projections SET backfilled_position = chosen.up_to
            WHERE projection_id = chosen.projection_id;
        ELSE
            PERFORM event.remove_deleted_projection(backfill_projections.most_positions);
        END IF;
    END IF;
    RETURN (
        SELECT jsonb_build_object('more', count(*) > 0, 'remaining', coalesce(sum(
            p.since_position - p.backfilled_position) FILTER (WHERE p.name IS NOT NULL), 0))
        FROM event.projections p
        WHERE p.name IS NULL OR p.backfilled_position < p.since_position);
END $$;

-- Removes values of a deleted projection, and the projection itself with the last of them.
CREATE FUNCTION event.remove_deleted_projection(most_values integer) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    deleted integer := (SELECT min(p.projection_id) FROM event.projections p WHERE p.name IS NULL);
BEGIN
    DELETE FROM event.projection_values WHERE ctid = ANY (ARRAY(
        SELECT v.ctid FROM event.projection_values v
        WHERE v.projection_id = deleted LIMIT remove_deleted_projection.most_values));
    DELETE FROM event.projections
    WHERE projection_id = deleted AND NOT EXISTS (
        SELECT FROM event.projection_values v WHERE v.projection_id = deleted);
END $$;
