"""Groups, sessions, verifications and erasures read what they are asked for, however many
there are, also with plans made while the tables were empty.
"""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
import pytest

from svckit import ids
from tests.support.cluster import Database, administrator

STORED = 3000
PAGE = 10
# Of what a person has, a few; of what a page shows, a few for each row.
MOST_ROWS = 15 * PAGE

NULL_ID = "00000000-0000-0000-0000-000000000000"
FILL = f"""
INSERT INTO identity.identity_registry (person_id, root_id)
SELECT gen_random_uuid(), NULL FROM generate_series(1, {STORED});
INSERT INTO identity.identity_links (
    link_id, person_id, platform, platform_id, original_platform_id)
SELECT gen_random_uuid(), person_id, 'discord', person_id::text, '' FROM identity.identity_registry;
INSERT INTO identity.groups (group_id, kind, name, metadata, etag, body_hash, call_id)
SELECT gen_random_uuid(), CASE n % 30 WHEN 0 THEN 'couple' ELSE 'guild' END, '', '{{}}',
       gen_random_uuid(), '', gen_random_uuid()
FROM generate_series(1, {STORED}) n;
INSERT INTO identity.group_members (group_id, person_id, call_id)
SELECT g.group_id, p.person_id, gen_random_uuid()
FROM (SELECT group_id, row_number() OVER () AS n FROM identity.groups) g
JOIN (SELECT person_id, row_number() OVER () AS n FROM identity.identity_registry) p USING (n);
INSERT INTO identity.group_members (group_id, person_id, call_id, joined_at)
SELECT (SELECT min(group_id::text)::uuid FROM identity.groups WHERE kind = 'guild'), person_id,
       gen_random_uuid(), clock_timestamp()
FROM identity.identity_registry
WHERE person_id < '80000000-0000-0000-0000-000000000000'
ON CONFLICT DO NOTHING;
INSERT INTO identity.onboarding_sessions (
    session_id, data, created_at, expires_at, etag, body_hash, call_id)
SELECT gen_random_uuid(), '{{}}', now(), now() + n * interval '1 hour' - interval '2 days',
       gen_random_uuid(), '', gen_random_uuid()
FROM generate_series(1, {STORED}) n;
INSERT INTO identity.link_verifications (
    verification_id, person_id, platform, platform_id, original_platform_id, code_hash,
    created_at, expires_at)
SELECT gen_random_uuid(), person_id, 'discord', person_id::text, '', '',
       now() - random() * interval '20 hours', now()
FROM identity.identity_registry;
INSERT INTO identity.erasures (erasure_id, person_ids, subject_ids, started_at, finished_at)
SELECT gen_random_uuid(), ARRAY[gen_random_uuid()], '{{}}', now() + n * interval '1 second',
       CASE n % 100 WHEN 0 THEN NULL ELSE now() END
FROM generate_series(1, {STORED}) n;
INSERT INTO identity.erased_persons SELECT person_ids[1], erasure_id FROM identity.erasures;
"""


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Any]:
    """A session that has called everything while nothing was there."""
    session = await asyncpg.connect(database.url("kith_identity"))
    nothing = dict.fromkeys(
        ("person", "erased", "erasure", "group", "large", "session", "proof"), NULL_ID
    )
    for _ in range(8):
        for call, arguments in calls_about(nothing):
            try:
                await session.fetchval(call, *arguments)
            except asyncpg.PostgresError as error:
                assert str(error.sqlstate).startswith("Z")
    yield session
    await session.close()


def calls_about(known: dict[str, str]) -> list[tuple[str, tuple[Any, ...]]]:
    """Each function once."""
    person, group, start = known["person"], known["group"], f"'-infinity', '{NULL_ID}', {PAGE}"
    return [
        ("SELECT identity.get_group($1)", (group,)),
        (
            "SELECT identity.create_group($1, 'x', '', '{}', ARRAY[$2::text], '', $1)",
            (ids.new(), person),
        ),
        ("SELECT identity.update_group($1, 'x', '{}', NULL, $2, 100)", (group, ids.new())),
        ("SELECT identity.add_group_member($1, $2, 'x', $1, 9)", (group, person)),
        (f"SELECT identity.list_group_members($1, {start})", (known["large"],)),
        (f"SELECT identity.list_groups($1, NULL, {start})", (person,)),
        (f"SELECT identity.list_groups(NULL, 'couple', {start})", ()),
        ("SELECT identity.remove_group_member($1, $2)", (group, person)),
        ("SELECT identity.get_session($1)", (known["session"],)),
        ("SELECT identity.create_session($1, '{}', 60000, '', $1)", (ids.new(),)),
        (
            "SELECT identity.update_session($1, '{\"a\": 1}', NULL, NULL, $2, 100)",
            (known["session"], ids.new()),
        ),
        (
            "SELECT identity.claim_session($1, $2, $3, 100)",
            (known["session"], person, ids.new()),
        ),
        ("SELECT identity.sweep_sessions($1)", (PAGE,)),
        (
            "SELECT identity.start_link_verification($1, $2, 'discord', $3, '', '')",
            (ids.new(), person, person),
        ),
        (
            "SELECT identity.confirm_link_verification($1, '', $2)",
            (known["proof"], ids.new()),
        ),
        ("SELECT identity.sweep_verifications($1)", (PAGE,)),
        ("SELECT identity.get_erasure($1, NULL)", (known["erasure"],)),
        ("SELECT identity.get_erasure(NULL, $1)", (known["erased"],)),
        (f"SELECT identity.list_erasures(true, {start})", ()),
        (f"SELECT identity.list_erasures(NULL, {start})", ()),
        ("SELECT identity.count_running_erasures()", ()),
        ("SELECT identity.start_erasure($1, $2)", (ids.new(), person)),
    ]


async def known_to(admin: Any) -> dict[str, str]:
    """Something of each kind, and somebody who is in one small group."""
    row = await admin.fetchval(
        """SELECT jsonb_build_object(
               'person', m.person_id, 'group', m.group_id,
               'large', (SELECT min(group_id::text) FROM identity.groups WHERE kind = 'guild'),
               'session', (
                   SELECT session_id FROM identity.onboarding_sessions
                   WHERE expires_at > now() ORDER BY expires_at LIMIT 1),
               'proof', (SELECT verification_id FROM identity.link_verifications LIMIT 1),
               'erasure', (SELECT erasure_id FROM identity.erasures LIMIT 1),
               'erased', (SELECT person_id FROM identity.erased_persons LIMIT 1))::text
           FROM identity.group_members m JOIN identity.groups g USING (group_id)
           WHERE g.kind = 'couple' AND m.person_id > '80000000-0000-0000-0000-000000000000'
           LIMIT 1"""
    )
    known: dict[str, str] = orjson.loads(row)
    return known


async def rows_read(connection: Any) -> int:
    """How many rows of the schema this session has read."""
    return int(
        await connection.fetchval(
            """SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))
               FROM pg_stat_xact_user_tables WHERE schemaname = 'identity'"""
        )
    )


async def test_no_function_reads_more_than_a_few_rows_for_what_it_answers(connection, database):
    async with administrator(database) as admin:
        await admin.execute(FILL)
        known = await known_to(admin)

    read = {}
    for call, arguments in calls_about(known):
        # Within one transaction the counters only grow.
        async with connection.transaction():
            before = await rows_read(connection)
            await connection.fetchval(call, *arguments)
            read[call] = await rows_read(connection) - before

    assert {call: rows for call, rows in read.items() if rows > MOST_ROWS} == {}


async def test_erasing_somebody_reads_nothing_of_the_others(connection, database):
    async with administrator(database) as admin:
        await admin.execute(FILL)
        person = (await known_to(admin))["person"]
    erasure_id = ids.new()
    await connection.fetchval("SELECT identity.start_erasure($1, $2)", erasure_id, person)

    async with connection.transaction():
        before = await rows_read(connection)
        for stage in ("knowledge", "events", "identity"):
            await connection.fetchval(
                "SELECT identity.record_erasure_step($1, $2, '{}', '{}')", erasure_id, stage
            )
        read = await rows_read(connection) - before

    assert 0 < read < MOST_ROWS
