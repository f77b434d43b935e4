"""A page of memories is read out of the index that has its order, however many there are."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster, Database, administrator
from tests.support.memories import ADA, BOB

# Of two people, a scan for each, and the page itself.
MOST_READ = 3 * 20
PEOPLE = f"ARRAY['{ADA}', '{BOB}']"

FILL = """
    INSERT INTO knowledge.memories (
        memory_id, person_id, knowledge_id, occurred_at, created_at, updated_at, last_accessed_at,
        importance, version, memory_key, category, value, metadata)
    SELECT gen_random_uuid(), (ARRAY[$1, $2, gen_random_uuid()])[n % 3 + 1], gen_random_uuid(),
           now(), now(), now() + n * interval '1 ms', CASE WHEN n % 2 = 0 THEN now() END,
           (n % 11) / 10.0, 1, 'key ' || n, 'c' || n % 5, 'value', '{}'
    FROM generate_series(1, 9000) n"""


@pytest.fixture(scope="module")
def filled(cluster: Cluster) -> Iterator[Database]:
    """Three thousand memories of each of two people, and some of others."""

    async def fill(admin: Any) -> None:
        await admin.execute(FILL.replace("$1", f"'{ADA}'::uuid").replace("$2", f"'{BOB}'"))
        await admin.execute("ANALYZE knowledge.memories")

    with cluster.filled(fill) as database:
        yield database


@pytest.fixture
async def admin(filled: Database) -> AsyncIterator[Any]:
    """A session of its own, for its counters count all that it does."""
    async with administrator(filled) as connection:
        yield connection


async def read(admin: Any, call: str) -> tuple[int, int]:
    """How many rows a call reads by scan of the table, and by index."""
    async with admin.transaction():
        answer = await admin.fetchval(f"SELECT jsonb_array_length(knowledge.{call})")
        assert answer == 20
        row = await admin.fetchrow(
            "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_xact_user_tables"
            " WHERE relname = 'memories'"
        )
    return row["seq_tup_read"], row["idx_tup_fetch"]


RANKS = {"key": "null", "importance": "0.5", "updated": '"2100-01-01"', "accessed": "null"}


@pytest.mark.parametrize("behind", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("sorting", RANKS)
async def test_a_page_reads_little_more_than_itself(admin: Any, sorting: str, behind: bool):
    place = f'{{"rank": {RANKS[sorting]}, "key": "key 5", "person_id": "{ADA}"}}'
    after = f", after => '{place}'" if behind else ""

    scanned, fetched = await read(admin, f"list_memories({PEOPLE}, '{{}}', '{sorting}', 20{after})")

    assert scanned == 0
    assert fetched <= MOST_READ
