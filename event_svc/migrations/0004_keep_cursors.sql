-- How far named consumers have come.
-- ZE003: a position beyond the log's end, which would skip what is logged next.
--        DETAIL: {"head_position"}.

CREATE TABLE event.cursors (
    name        text PRIMARY KEY CHECK (name <> ''),
    position    bigint NOT NULL CHECK (position >= 0),
    updated_at  timestamptz NOT NULL
);

ALTER TABLE event.cursors ENABLE ROW LEVEL SECURITY;

-- The position saved under a name, or null.
CREATE FUNCTION event.get_cursor(name text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT to_jsonb(c.position) FROM event.cursors c WHERE c.name = get_cursor.name
$$;

-- Moves a cursor forward, never back; answers where it is now.
CREATE FUNCTION event.save_cursor(name text, reached bigint) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    head_position bigint := (SELECT h.position FROM event.log_head h);
BEGIN
    IF save_cursor.reached > head_position THEN
        RAISE EXCEPTION USING
            ERRCODE = 'ZE003',
            MESSAGE = 'beyond the end of the log',
            DETAIL = jsonb_build_object('head_position', head_position);
    END IF;
    INSERT INTO event.cursors AS c (name, position, updated_at)
    VALUES (save_cursor.name, save_cursor.reached, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at
    WHERE c.position < excluded.position;
    RETURN (SELECT to_jsonb(c.position) FROM event.cursors c WHERE c.name = save_cursor.name);
END $$;
