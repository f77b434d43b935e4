-- pgvector, in the schema where Supabase has it too, for the roles that use it.

DO $$
DECLARE
    found text;
BEGIN
    SELECT n.nspname INTO found
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'vector';
    IF found IS NULL THEN
        CREATE SCHEMA IF NOT EXISTS extensions;
        CREATE EXTENSION vector WITH SCHEMA extensions;
    ELSIF found <> 'extensions' THEN
        RAISE EXCEPTION 'the extension vector is in schema %, Kith needs it in schema extensions: '
            'CREATE SCHEMA extensions; ALTER EXTENSION vector SET SCHEMA extensions', found;
    END IF;
    GRANT USAGE ON SCHEMA extensions TO kith_knowledge_owner, kith_knowledge;
END $$;
