-- What appending, retention, erasure, projections and subscriptions share.

-- What an event said may be taken away; its place stays.
ALTER TABLE event.event_log ADD COLUMN redacted_at timestamptz;
ALTER TABLE event.event_log ADD COLUMN redaction_reason text;

-- Retention has dropped every event up to this position.
ALTER TABLE event.log_head ADD COLUMN expired_position bigint NOT NULL DEFAULT 0;

-- Subjects about which nothing is logged any more. Read by every append under the log's
-- lock, and written under it, so that no late event slips through.
CREATE TABLE event.tombstones (
    subject_id  uuid PRIMARY KEY,
    erased_at   timestamptz NOT NULL
);

-- How many events there were, by the hour of created_at; kept up by every append.
CREATE TABLE event.event_counts (
    hour        timestamptz NOT NULL,
    event_type  text COLLATE "C" NOT NULL,
    platform    text COLLATE "C" NOT NULL,
    count       bigint NOT NULL CHECK (count >= 0),
    PRIMARY KEY (hour, event_type, platform)
) WITH (fillfactor = 50);  -- the rows of this hour change with every append

ALTER TABLE event.tombstones ENABLE ROW LEVEL SECURITY;
ALTER TABLE event.event_counts ENABLE ROW LEVEL SECURITY;

-- Called at the end of every append that wrote something, in its transaction and under the
-- log's lock, with the positions that it wrote and the created_at that they share.
CREATE FUNCTION event.project_appended(
    first_position bigint, last_position bigint, logged_at timestamptz
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = '' AS $$
BEGIN
    -- There is no projection yet.
END $$;

-- {"head_position", "expired_position"}: the log's end, and up to where retention dropped it.
CREATE FUNCTION event.log_bounds() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT jsonb_build_object(
        'head_position', h.position, 'expired_position', h.expired_position)
    FROM event.log_head h
$$;
