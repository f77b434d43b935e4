-- Cursors that consumers share: one holds it for a while, under a fencing token.
-- ZE014: somebody else holds the cursor. DETAIL: {"seconds_left"}.

-- A cursor may be held before anything was saved.
ALTER TABLE event.cursors ALTER COLUMN position DROP NOT NULL;
ALTER TABLE event.cursors ADD COLUMN owner text;               -- NULL: nobody since the release
ALTER TABLE event.cursors ADD COLUMN expires_at timestamptz;   -- until when it is the owner's
ALTER TABLE event.cursors ADD COLUMN fencing_token bigint NOT NULL DEFAULT 0;  -- only grows

-- The row of a cursor, made where there is none, locked until the end of the transaction.
CREATE FUNCTION event.lock_cursor(name text) RETURNS event.cursors
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    found event.cursors;
BEGIN
    INSERT INTO event.cursors (name, updated_at) VALUES (lock_cursor.name, clock_timestamp())
    ON CONFLICT DO NOTHING;
    SELECT * INTO found FROM event.cursors c WHERE c.name = lock_cursor.name FOR UPDATE;
    RETURN found;
END $$;

-- Takes a cursor for a while or prolongs it: {"fencing_token", "position", "expires_at"}.
-- The owner before keeps the token, also after the time ran out, as long as nobody came between.
CREATE FUNCTION event.acquire_cursor(name text, owner text, ttl_milliseconds bigint) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' SET timezone = 'UTC' AS $$
#variable_conflict use_column
DECLARE
    held event.cursors := event.lock_cursor(acquire_cursor.name);
    moment CONSTANT timestamptz := clock_timestamp();  -- by now the row is locked
    is_owner CONSTANT boolean := held.owner IS NOT DISTINCT FROM acquire_cursor.owner;
BEGIN
    IF NOT is_owner AND held.expires_at > moment THEN
        RAISE EXCEPTION USING
            ERRCODE = 'ZE014',
            MESSAGE = 'somebody else holds the cursor',
            DETAIL = jsonb_build_object('seconds_left', extract(epoch FROM held.expires_at - moment));
    END IF;
    UPDATE event.cursors c
    SET owner = acquire_cursor.owner,
        expires_at = moment + acquire_cursor.ttl_milliseconds * interval '1 millisecond',
        fencing_token = c.fencing_token + CASE WHEN is_owner THEN 0 ELSE 1 END
    WHERE c.name = acquire_cursor.name
    RETURNING c.* INTO held;
    RETURN jsonb_build_object(
        'fencing_token', held.fencing_token,
        'position', coalesce(held.position, 0),
        'expires_at', held.expires_at);
END $$;

-- Gives a cursor back; answers whether this call did.
CREATE FUNCTION event.release_cursor(name text, fencing_token bigint) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    UPDATE event.cursors c SET owner = NULL, expires_at = NULL
    WHERE c.name = release_cursor.name AND c.fencing_token = release_cursor.fencing_token
      AND c.owner IS NOT NULL;
    RETURN to_jsonb(FOUND);
END $$;
