-- Waking readers over REST: Supabase Realtime tells of updates to tables in its publication.
-- Where there is no such publication there is nothing to do; docs/operations.md says what to
-- run where it is made later.

-- Who publishes has to own the publication and the table. That is the role that migrates, as
-- a member of the owner; the owner alone does not own the publication.
RESET ROLE;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'supabase_realtime') THEN
        RETURN;
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_publication_tables
        WHERE pubname = 'supabase_realtime' AND schemaname = 'event' AND tablename = 'log_head'
    ) THEN
        ALTER PUBLICATION supabase_realtime ADD TABLE event.log_head;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        -- Realtime shows a row to whoever may read it. It says where the log ends, no more;
        -- row level security is on, and only roles that bypass it see the row.
        GRANT SELECT ON event.log_head TO service_role;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'event.log_head could not be published for Supabase Realtime: %', SQLERRM;
END $$;
SET ROLE kith_event_owner;
