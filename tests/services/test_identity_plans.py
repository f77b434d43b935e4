"""Functions read what they are asked for, also with plans made while the tables were empty."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
import pytest

from svckit import ids
from tests.support.cluster import Database

ASKED = 20
STORED = 3000


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Any]:
    """A session that has called everything while nobody was there."""
    session = await asyncpg.connect(database.url("kith_identity"))
    for _ in range(8):
        for call, arguments in calls_about([], []):
            await session.fetchval(call, *arguments)
    yield session
    await session.close()


def requests(names: list[str]) -> str:
    return orjson.dumps(
        [
            {
                "person_id": ids.new(),
                "link_id": ids.new(),
                "platform": "discord",
                "platform_id": name,
                "original_platform_id": name,
                "metadata": {},
                "consent": {"messages": "granted", ids.new(): "granted"},
            }
            for name in names
        ]
    ).decode()


def calls_about(
    names: list[str], people: list[dict[str, str]]
) -> list[tuple[str, tuple[Any, ...]]]:
    """Each function once, about people of these names."""
    person_ids = [person["person_id"] for person in people]
    link_ids = [person["link_id"] for person in people]
    one = person_ids[0] if person_ids else ids.new()
    return [
        # This fills a purpose of each of them, too.
        ("SELECT identity.register_persons($1::jsonb)", (requests(names),)),
        ("SELECT identity.resolve_identities($1::jsonb)", (requests(names),)),
        ("SELECT identity.get_persons($1)", (person_ids,)),
        ("SELECT identity.touch_persons($1)", (person_ids,)),
        ("SELECT identity.confirm_registrations($1)", (link_ids,)),
        ("SELECT identity.list_links($1, NULL, NULL, 10)", (one,)),
        ("SELECT identity.list_pending_registrations(NULL, NULL, NULL, $1)", (ASKED,)),
        ("SELECT identity.update_person($1, '{\"a\": 1}', NULL, $2, 100)", (one, ids.new())),
        (
            "SELECT identity.link_identity($1, $2, 'web', $3, $3, true)",
            (ids.new(), one, ids.new()),
        ),
    ]


async def rows_read(connection: Any) -> int:
    """How many rows of the schema this session has read."""
    return int(
        await connection.fetchval(
            """SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))
               FROM pg_stat_xact_user_tables WHERE schemaname = 'identity'"""
        )
    )


async def test_no_function_reads_more_than_a_few_rows_for_each_key(connection):
    names = [f"id-{number}" for number in range(STORED)]
    answer = await connection.fetchval(
        "SELECT identity.register_persons($1::jsonb)", requests(names)
    )
    people = [outcome["ok"]["identity"] for outcome in orjson.loads(answer)[-ASKED:]]

    read = {}
    for call, arguments in calls_about(names[-ASKED:], people):
        # Within one transaction the counters only grow.
        async with connection.transaction():
            before = await rows_read(connection)
            await connection.fetchval(call, *arguments)
            read[call] = await rows_read(connection) - before

    assert all(read.values())
    assert {call: rows for call, rows in read.items() if rows > 10 * ASKED} == {}
