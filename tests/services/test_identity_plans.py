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
# The most rows for each key: a registration that fills consent looks at a person three times.
FEW = 20

# One in ten is merged into a neighbour; some of those asked for, too.
MERGES = """
    WITH pairs AS (
        SELECT s.person_id AS source, t.person_id AS target
        FROM generate_series(5, $1::int, 10) n
        JOIN identity.identity_links s ON s.platform_id = 'id-' || n
        JOIN identity.identity_links t ON t.platform_id = 'id-' || (n - 1)
    ), merged AS (
        UPDATE identity.identity_registry p
        SET merged_into = target, root_id = target, consent_merged = '{}'
        FROM pairs WHERE person_id = source
    )
    INSERT INTO identity.merges
    SELECT gen_random_uuid(), source, target, now(), NULL, NULL, '' FROM pairs
"""


IN_PLACE = """
    SELECT n_tup_hot_upd FROM pg_stat_xact_user_tables
    WHERE relid = 'identity.identity_registry'::regclass
"""


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Any]:
    """A session that has called everything while hardly anybody was there."""
    session = await asyncpg.connect(database.url("kith_identity"))
    for number in range(8):
        names = [f"first-{number}-{n}" for n in range(4)]
        for call, arguments in calls_about(names, await register(session, names)):
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


async def register(session: Any, names: list[str]) -> list[dict[str, str]]:
    """People of these names."""
    call = "SELECT identity.register_persons($1::jsonb)"
    answer = orjson.loads(await session.fetchval(call, requests(names)))
    return [outcome["ok"]["identity"] for outcome in answer]


def calls_about(
    names: list[str], people: list[dict[str, str]]
) -> list[tuple[str, tuple[Any, ...]]]:
    """Each function once, about people of these names."""
    person_ids = [person["person_id"] for person in people]
    link_ids = [person["link_id"] for person in people]
    one, two, three, four = person_ids[:4]
    return [
        # This fills a purpose of each of them, too.
        ("SELECT identity.register_persons($1::jsonb)", (requests(names),)),
        ("SELECT identity.resolve_identities($1::jsonb)", (requests(names),)),
        ("SELECT identity.get_persons($1)", (person_ids,)),
        ("SELECT identity.get_persons($1, false)", (person_ids,)),
        ("SELECT identity.touch_persons($1)", (person_ids,)),
        ("SELECT identity.confirm_registrations($1)", (link_ids,)),
        ("SELECT identity.list_links($1, NULL, NULL, 10)", (one,)),
        ("SELECT identity.list_pending_registrations(NULL, NULL, NULL, $1)", (ASKED,)),
        ("SELECT identity.update_person($1, '{\"a\": 1}', NULL, $2, 100)", (one, ids.new())),
        (
            "SELECT identity.link_identity($1, $2, 'web', $3, $3, true)",
            (ids.new(), one, ids.new()),
        ),
        ("SELECT identity.list_persons('web', NULL, NULL, NULL, NULL, NULL, 10)", ()),
        (
            "SELECT identity.create_person($1, '', '{}', '{\"x\": \"granted\"}', $2)",
            (ids.new(), ids.new()),
        ),
        ("SELECT identity.set_consent($1, '{\"x\": \"denied\"}', '')", (one,)),
        ("SELECT identity.get_consent($1)", (one,)),
        ("SELECT identity.list_consent_history($1, NULL, NULL, NULL, NULL, NULL, 10)", (one,)),
        ("SELECT identity.merge_persons($1, $2, $3, '')", (ids.new(), one, two)),
        ("SELECT identity.unmerge_persons(NULL, $1, $2)", (one, ids.new())),
        # With proof, somebody else's.
        (
            "SELECT identity.link_identity($1, $2, 'discord', $3, $3, true)",
            (ids.new(), three, names[3]),
        ),
        ("SELECT identity.unlink_identity($1, $2)", (four, link_ids[3])),
    ]


async def rows_read(connection: Any) -> int:
    """How many rows of the schema this session has read."""
    return int(
        await connection.fetchval(
            """SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))
               FROM pg_stat_xact_user_tables WHERE schemaname = 'identity'"""
        )
    )


async def test_no_function_reads_more_than_a_few_rows_for_each_key(database, connection):
    names = [f"id-{number}" for number in range(STORED)]
    people = (await register(connection, names))[-ASKED:]
    admin = await asyncpg.connect(database.url())
    await admin.execute(MERGES.replace("$1", str(STORED)))
    await admin.close()

    read = {}
    for call, arguments in calls_about(names[-ASKED:], people):
        # Within one transaction the counters only grow.
        async with connection.transaction():
            before = await rows_read(connection)
            await connection.fetchval(call, *arguments)
            read[call] = await rows_read(connection) - before

    assert all(read.values())
    assert {call: rows for call, rows in read.items() if rows > FEW * ASKED} == {}


async def test_being_seen_again_within_the_hour_writes_no_index(database, connection):
    [mia] = await register(connection, ["mia"])
    admin = await asyncpg.connect(database.url())
    seen = "UPDATE identity.identity_registry SET last_seen_at = date_trunc('hour', now()) + "
    try:
        await admin.execute(seen + "interval '1 min'")
        # So that there is room for another version beside the row.
        await admin.execute("VACUUM identity.identity_registry")
        async with admin.transaction():
            before = await admin.fetchval(IN_PLACE)
            await admin.execute(seen + "interval '9 min' WHERE person_id = $1", mia["person_id"])
            in_place = await admin.fetchval(IN_PLACE) - before
    finally:
        await admin.close()

    assert in_place == 1
