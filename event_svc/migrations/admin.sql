-- What only an administrator may do. Runs before the migrations, as the connecting role.

-- TimescaleDB, where the server has loaded it, for a log that is still to be made; the
-- migrations then keep the log in a hypertable. Anywhere else the attempt would end the
-- session, and where it is refused, the log is partitioned.
DO $$
BEGIN
    IF to_regclass('event.layout') IS NULL
        AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
        AND current_setting('shared_preload_libraries') ~ '\mtimescaledb\M'
    THEN
        CREATE EXTENSION IF NOT EXISTS timescaledb;
    END IF;
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'without TimescaleDB: %', SQLERRM;
END $$;
