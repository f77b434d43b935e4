"""What the database lets whom do, over all schemas at once."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.support.cluster import SERVICES, Database

SCHEMAS = list(SERVICES.values())


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Any]:
    connected = await asyncpg.connect(database.url())
    yield connected
    await connected.close()


async def test_nobody_executes_a_function_without_being_named(connection: Any):
    open_to_all = await connection.fetch(
        """SELECT p.oid::regprocedure AS function FROM pg_proc p
           WHERE p.pronamespace::regnamespace::text = ANY($1)
             AND (p.proacl IS NULL OR EXISTS (
                 SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0))""",
        SCHEMAS,
    )

    assert [row["function"] for row in open_to_all] == []


async def test_each_table_has_row_level_security_and_no_grant(connection: Any):
    tables = await connection.fetch(
        """SELECT c.oid::regclass::text AS name, c.relrowsecurity AS secured,
                  EXISTS (SELECT FROM aclexplode(c.relacl) a
                          WHERE a.grantee <> c.relowner) AS granted
           FROM pg_class c
           WHERE c.relnamespace::regnamespace::text = ANY($1) AND c.relkind IN ('r', 'p')""",
        SCHEMAS,
    )

    assert len(tables) >= len(SCHEMAS)
    assert [row["name"] for row in tables if not row["secured"] or row["granted"]] == []


async def test_each_function_answers_json_and_takes_what_both_transports_can_say(connection: Any):
    odd = await connection.fetch(
        """SELECT p.oid::regprocedure::text AS function FROM pg_proc p
           WHERE p.pronamespace::regnamespace::text = ANY($1)
             AND has_function_privilege('service_role', p.oid, 'EXECUTE')
             AND p.prosecdef
             AND (p.prorettype NOT IN ('jsonb'::regtype, 'json'::regtype) OR EXISTS (
                 SELECT FROM unnest(p.proargtypes) t
                 WHERE format_type(t, NULL) NOT IN (
                     'text', 'integer', 'bigint', 'boolean', 'uuid', 'jsonb', 'text[]',
                     'timestamp with time zone', 'double precision')))""",
        SCHEMAS,
    )

    assert [row["function"] for row in odd] == []


async def test_each_function_pins_its_search_path(connection: Any):
    loose = await connection.fetch(
        """SELECT p.oid::regprocedure::text AS function FROM pg_proc p
           WHERE p.pronamespace::regnamespace::text = ANY($1) AND p.prosecdef
             AND NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%')""",
        SCHEMAS,
    )

    assert [row["function"] for row in loose] == []


async def test_no_two_functions_share_a_name(connection: Any):
    overloaded = await connection.fetch(
        """SELECT pronamespace::regnamespace::text || '.' || proname AS name FROM pg_proc
           WHERE pronamespace::regnamespace::text = ANY($1)
           GROUP BY pronamespace, proname HAVING count(*) > 1""",
        SCHEMAS,
    )

    assert [row["name"] for row in overloaded] == []


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("neighbour", SCHEMAS)
async def test_a_login_role_reaches_its_own_functions_and_no_neighbours(
    database: Database, schema: str, neighbour: str
):
    connected = await asyncpg.connect(database.url(f"kith_{schema}"))
    try:
        if neighbour == schema:
            assert int(await connected.fetchval(f"SELECT {schema}.schema_version()")) >= 1
            return
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connected.fetchval(f"SELECT {neighbour}.schema_version()")
    finally:
        await connected.close()
