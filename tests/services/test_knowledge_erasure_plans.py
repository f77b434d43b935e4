"""Erasing and exporting somebody reads what is theirs, however much there is of others, also
with plans made while the tables were empty.
"""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from svckit import ids
from tests.support.cluster import Database, administrator

STORED, THEIRS, STEP = 6000, 40, 20
# Some reads for each row of a step, or of all that is theirs where that is counted.
MOST_ROWS = 12 * THEIRS
ANN, LINK = ids.named("ann"), ids.named("ann's link")

# Every second of her items has no link, and all others are of a hundred people.
FILL = f"""
INSERT INTO knowledge.knowledge_items (
    knowledge_id, revision, occurred_at, subject_id, person_id, owner, term_total, namespace,
    content_hash, body_hash, terms, term_counts, metadata, content)
SELECT gen_random_uuid(), n, now() - n * interval '1 second',
       CASE WHEN n > {THEIRS} THEN md5((n % 100)::text)::uuid
            WHEN n % 2 = 0 THEN '{LINK}'::uuid END,
       CASE WHEN n > {THEIRS} THEN md5('p' || n % 100)::uuid ELSE '{ANN}' END,
       gen_random_uuid(), 2, 'default', '', '', '{{a}}', '{{1}}', '{{}}', 'something ' || n
FROM generate_series(1, {STORED}) n;
INSERT INTO knowledge.index_states (knowledge_id, revision)
SELECT knowledge_id, revision FROM knowledge.knowledge_items;
INSERT INTO knowledge.documents (
    document_id, revision, occurred_at, subject_id, owner, size, version, is_latest, state,
    namespace, document_key, filename, media_type, blob_key, sha256, metadata)
SELECT gen_random_uuid(), 1, now(), md5((n % 100)::text)::uuid, gen_random_uuid(), 1, 1, true,
       'succeeded', 'default', '', 'x', 'text/plain', 'x/y/z/' || n, '', '{{}}'
FROM generate_series(1, {STORED}) n;
INSERT INTO knowledge.memory_versions (
    memory_id, version, person_id, occurred_at, created_at, importance, memory_key, category,
    value, metadata)
SELECT gen_random_uuid(), 1, md5('p' || n % 100)::uuid, now(), now(), 0, '', '', 'x', '{{}}'
FROM generate_series(1, {STORED}) n;
ANALYZE;
"""

CALLS = {
    "erase_items": f"owner => 'x', lease_ms => 0, most => {STEP}",
    "erase_memories": f"most => {STEP}",
    "erase_documents": f"owner => 'x', lease_ms => 0, most => {STEP}",
    "unname_erased": f"most => {STEP}",
    "erased_in_all": "",
    "count_subjects": "",
    "export_items": f"most => {STEP}",
    "export_memories": f"most => {STEP}",
    "export_documents": f"most => {STEP}",
}


def a_call(function: str) -> str:
    more = f", {CALLS[function]}" if CALLS[function] else ""
    return f"SELECT knowledge.{function}(subject_ids => $1{more})"


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Any]:
    """A session that has called everything while nothing was there."""
    session = await asyncpg.connect(database.url("kith_knowledge"))
    await session.fetchval("SELECT knowledge.start_erasure($1)", [ANN, LINK])
    for _ in range(6):
        for function in CALLS:
            await session.fetchval(a_call(function), [ANN, LINK])
    yield session
    await session.close()


async def rows_read(connection: Any) -> int:
    return int(
        await connection.fetchval(
            """SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))
               FROM pg_stat_xact_user_tables WHERE schemaname = 'knowledge'"""
        )
    )


async def test_no_function_reads_more_than_what_is_theirs(connection: Any, database: Database):
    async with administrator(database) as admin:
        await admin.execute(FILL)

    read = {}
    for function in CALLS:
        # Within one transaction the counters only grow.
        async with connection.transaction():
            before = await rows_read(connection)
            await connection.fetchval(a_call(function), [ANN, LINK])
            read[function] = await rows_read(connection) - before

    assert {name: rows for name, rows in read.items() if rows > MOST_ROWS} == {}
