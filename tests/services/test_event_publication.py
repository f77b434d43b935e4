"""What Supabase Realtime may see of the log: where it ends, and only where Realtime is."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from svckit import migrate
from tests.support.cluster import Database, administrator

PUBLISHED = """
SELECT schemaname || '.' || tablename FROM pg_publication_tables
WHERE pubname = 'supabase_realtime'
"""


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Any]:
    async with administrator(database) as connected:
        yield connected


async def migrate_again(database: Database, connection: Any) -> None:
    """Apply the file to a database that has something else by now."""
    await connection.execute("DELETE FROM event.schema_migrations WHERE version = 17")
    await migrate.migrate(database.url(), "event_svc", "event")


async def readable(connection: Any) -> list[str]:
    rows = await connection.fetch(
        """SELECT c.oid::regclass::text AS name FROM pg_class c
           WHERE c.relnamespace = 'event'::regnamespace AND c.relkind IN ('r', 'p', 'v')
             AND has_table_privilege('service_role', c.oid, 'SELECT')"""
    )
    return [row["name"] for row in rows]


async def test_the_logs_end_is_published_and_readable_where_realtime_is(
    database: Database, connection: Any
):
    await connection.execute("CREATE PUBLICATION supabase_realtime")
    for _ in range(2):
        await migrate_again(database, connection)

        assert [row[0] for row in await connection.fetch(PUBLISHED)] == ["event.log_head"]
        assert await readable(connection) == ["event.log_head"]
    # Row by row, it is for those alone whom row level security does not concern.
    assert await connection.fetchval("SELECT count(*) FROM pg_policy") == 0


async def test_a_publication_of_all_tables_is_left_as_it_is(database: Database, connection: Any):
    await connection.execute("CREATE PUBLICATION supabase_realtime FOR ALL TABLES")
    await migrate_again(database, connection)

    assert await readable(connection) == ["event.log_head"]


async def test_elsewhere_nothing_is_published_or_granted(database: Database, connection: Any):
    assert await connection.fetchval("SELECT count(*) FROM pg_publication") == 0
    assert await readable(connection) == []
