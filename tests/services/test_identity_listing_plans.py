"""Lists of people read about a page, each filter by an index, however many people there are."""

from typing import Any

import asyncpg
import orjson
import pytest

from tests.support.cluster import Database

PEOPLE = 100_000
PAGE = 51
# Of each person on the list the links, those merged and the merges are looked up, each by an
# index of two or three levels: some 35 blocks.
MOST_BLOCKS = 60 * PAGE

# One in a thousand is on slack, was seen this hour, and is a VIP; most others are on the web, were
# seen within the year, and are none. One in ten was on telegram, and one in a thousand still is.
MAKE = f"""
    -- Without triggers and checks of references, for speed.
    SET session_replication_role = replica;
    INSERT INTO identity.identity_registry (person_id, root_id, created_at, last_seen_at, metadata)
    SELECT md5('p' || n)::uuid, md5('p' || n)::uuid, now() - n * interval '1 minute',
           now() - (n % 1000) * interval '8 hours',
           jsonb_build_object('vip', n % 1000 = 0, 'name', 'person ' || n)
    FROM generate_series(1, {PEOPLE}) n;
    INSERT INTO identity.identity_links
        (link_id, person_id, platform, platform_id, original_platform_id)
    SELECT md5('l' || n)::uuid, md5('p' || n)::uuid,
           CASE WHEN n % 1000 = 0 THEN 'slack' ELSE 'web' END, n::text, n::text
    FROM generate_series(1, {PEOPLE}) n;
    INSERT INTO identity.identity_links
        (link_id, person_id, platform, platform_id, original_platform_id, ended_at)
    SELECT md5('t' || n)::uuid, md5('p' || n)::uuid, 'telegram', n::text, n::text,
           CASE WHEN n % 1000 <> 500 THEN now() END
    FROM generate_series(10, {PEOPLE}, 10) n;
    ANALYZE identity.identity_registry, identity.identity_links;
"""
GROUP, FIRST_ID = "00000000-0000-4000-8000-000000000001", "00000000-0000-0000-0000-000000000000"
# One in ten is in a group.
JOIN = f"""
    INSERT INTO identity.groups (group_id, kind, name, metadata, etag, body_hash, call_id)
    VALUES ('{GROUP}', 'team', 'Large', '{{}}', gen_random_uuid(), '', gen_random_uuid());
    INSERT INTO identity.group_members (group_id, person_id, joined_at, call_id)
    SELECT '{GROUP}', md5('p' || n)::uuid, now() - n * interval '1 minute', gen_random_uuid()
    FROM generate_series(10, {PEOPLE}, 10) n;
    ANALYZE identity.group_members;
"""
FILTERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a platform of few": {"platform": "slack"},
    "a platform of most": {"platform": "web"},
    "a platform that most have left": {"platform": "telegram"},
    "few on a platform and metadata of most": {"platform": "slack", "metadata": {"vip": True}},
    "metadata of few": {"metadata": {"vip": True}},
    "metadata of one": {"metadata": {"name": "person 5000"}},
    "metadata of most": {"metadata": {"vip": False}},
    "few who were seen lately": {"seen_from": "now() - interval '1 hour'"},
    "few who were seen long ago": {"seen_to": "now() - 999 * interval '8 hours'"},
    "most of all who were seen": {"seen_to": "now() - interval '1 hour'"},
}


async def listed(connection: Any, after: tuple[str, str] | None, **filters: Any) -> Any:
    """A page, and how many blocks were read for it."""
    created_at, person_id = after or (None, None)
    call = f"""SELECT identity.list_persons($1, $2::jsonb, {filters.get("seen_from", "NULL")},
                   {filters.get("seen_to", "NULL")}, $3::text::timestamptz, $4::text::uuid, {PAGE})
            """
    arguments = (
        filters.get("platform"),
        orjson.dumps(filters["metadata"]).decode() if "metadata" in filters else None,
        created_at,
        person_id,
    )
    page = orjson.loads(await connection.fetchval(call, *arguments))
    explain = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
    [plan] = orjson.loads(await connection.fetchval(explain + call, *arguments))
    return page, plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]


@pytest.mark.timeout(120)
async def test_a_page_of_any_filter_costs_about_a_page(database: Database):
    connection = await asyncpg.connect(database.url())
    try:
        await connection.execute(MAKE)
        read = {}
        for name, filters in FILTERS.items():
            first, blocks = await listed(connection, None, **filters)
            assert first
            place = (first[-1]["created_at"], first[-1]["person_id"])
            second, more = await listed(connection, place, **filters)
            assert not {p["person_id"] for p in first} & {p["person_id"] for p in second}
            read[name] = max(blocks, more)
    finally:
        await connection.close()

    assert {name: blocks for name, blocks in read.items() if blocks > MOST_BLOCKS} == {}


async def members(connection: Any, after: tuple[str, str]) -> tuple[list[dict[str, Any]], int]:
    """A page of a group's members, and how many blocks were read for it."""
    call = f"""SELECT identity.list_group_members(
                   '{GROUP}', $1::text::timestamptz, $2::text::uuid, {PAGE})"""
    page = orjson.loads(await connection.fetchval(call, *after))
    explain = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
    [plan] = orjson.loads(await connection.fetchval(explain + call, *after))
    return page, plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]


@pytest.mark.timeout(120)
async def test_a_page_of_a_large_groups_members_costs_about_a_page(database: Database):
    connection = await asyncpg.connect(database.url())
    try:
        await connection.execute(MAKE + JOIN)
        first, blocks = await members(connection, ("-infinity", FIRST_ID))
        second, more = await members(connection, (first[-1]["joined_at"], first[-1]["row_id"]))
    finally:
        await connection.close()

    assert len({member["row_id"] for member in first + second}) == 2 * PAGE
    assert max(blocks, more) <= MOST_BLOCKS
