-- Saving a cursor that somebody may hold.
-- ZE003: as in 0004.
-- ZE015: the token is not the newest, or there is none while somebody holds the cursor.

-- Moves a cursor forward, never back; answers where it is now. Token 0 is for a cursor that
-- nobody holds; the newest token saves also when its time ran out, since nobody came after.
DROP FUNCTION event.save_cursor(text, bigint);
CREATE FUNCTION event.save_cursor(name text, reached bigint, fencing_token bigint DEFAULT 0)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    head_position CONSTANT bigint := (SELECT h.position FROM event.log_head h);
    held event.cursors;
    may_save boolean;
BEGIN
    IF save_cursor.reached > head_position THEN
        RAISE EXCEPTION USING
            ERRCODE = 'ZE003',
            MESSAGE = 'beyond the end of the log',
            DETAIL = jsonb_build_object('head_position', head_position);
    END IF;
    held := event.lock_cursor(save_cursor.name);
    may_save := CASE save_cursor.fencing_token
        WHEN 0 THEN coalesce(held.expires_at <= clock_timestamp(), true)
        ELSE save_cursor.fencing_token = held.fencing_token END;
    IF NOT may_save THEN
        RAISE EXCEPTION USING ERRCODE = 'ZE015', MESSAGE = 'the cursor is not held by this token';
    END IF;
    UPDATE event.cursors c SET position = save_cursor.reached, updated_at = clock_timestamp()
    WHERE c.name = save_cursor.name AND coalesce(c.position, -1) < save_cursor.reached;
    RETURN to_jsonb(greatest(held.position, save_cursor.reached));
END $$;
