"""A page of documents is read out of an index that a filter has, however many there are."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest

from tests.support.cluster import Cluster, Database, administrator

GROUP, SESSION, ADA = (f"00000000-0000-4000-8000-00000000000{n}" for n in range(3))
DOCUMENTS = 20_000
PAGE = 20
# Of each on the page the place in an index and the row, which is read once more, whole.
MOST_BLOCKS = 12 * PAGE

# One document in a thousand is of the group, the conversation, the shelf and the tag, and a tenth
# is Ada's.
FILL = f"""
    INSERT INTO knowledge.documents (
        document_id, revision, created_at, occurred_at, subject_id, group_id, session_id, owner,
        size, version, is_latest, state, namespace, platform, document_key, filename, media_type,
        blob_key, sha256, metadata)
    SELECT md5('d' || n)::uuid, n, now() - n * interval '1 s', now() - n * interval '1 s',
           CASE WHEN n % 10 = 1 THEN '{ADA}'::uuid END,
           CASE WHEN n % 1000 = 0 THEN '{GROUP}'::uuid END,
           CASE WHEN n % 1000 = 0 THEN '{SESSION}'::uuid END, md5('o' || n)::uuid, 10, 1, true,
           'succeeded', CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'default' END, 'web', 'key ' || n,
           'file.txt', 'text/plain', 'blob ' || n, '', jsonb_build_object('tag', n % 1000)
    FROM generate_series(1, {DOCUMENTS}) n"""

FILTERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a group": {"group_id": GROUP},
    "a conversation": {"session_id": SESSION},
    "a shelf of few": {"namespaces": ["rare"]},
    "a shelf of most": {"namespaces": ["default"]},
    "metadata of few": {"metadata": '$."tag" == 0'},
    "somebody": {"subject_ids": [ADA]},
    "a document": {"document_id": "91d0d2f5-5ee4-3b3c-8b4b-2d1d3f2e3c11"},
}


@pytest.fixture(scope="module")
def filled(cluster: Cluster) -> Iterator[Database]:
    """Many documents."""

    async def fill(admin: Any) -> None:
        await admin.execute(FILL)
        await admin.execute("VACUUM (ANALYZE) knowledge.documents")

    with cluster.filled(fill) as database:
        yield database


@pytest.fixture
async def admin(filled: Database) -> AsyncIterator[Any]:
    """A session that sees plans."""
    async with administrator(filled) as connection:
        yield connection


async def blocks(admin: Any, chosen: dict[str, Any], key: str | None = None) -> int:
    """How many blocks are read for the page."""
    call = f"SELECT knowledge.list_documents($1::jsonb, $2, false, ARRAY['succeeded'], {PAGE})"
    arguments = (orjson.dumps(chosen).decode(), key)
    await admin.fetchval(call, *arguments)
    explained = await admin.fetchval(
        f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {call}", *arguments
    )
    [plan] = orjson.loads(explained)
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


@pytest.mark.parametrize("name", FILTERS)
async def test_a_page_of_documents_costs_about_a_page(admin: Any, name: str):
    assert await blocks(admin, FILTERS[name]) <= MOST_BLOCKS


async def test_a_document_is_found_by_its_key(admin: Any):
    assert await blocks(admin, {}, "key 19999") <= MOST_BLOCKS
