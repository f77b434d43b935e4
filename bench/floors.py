"""The floors: what the parts below Kith can do at best, on the same machine in the same run."""

import itertools
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import numpy as np

from bench.echo import echo_call
from bench.measure import CALLERS, Figures, closed_loop
from tests.support.up import RunningKith

ROWS = 1000
ITEMS = 1000
DIMENSION = 256
RATIOS = ()

# The log's own columns, checks and indexes, in one table instead of partitions, and its
# idempotency table: what any store of such events would have to write.
TABLES = f"""
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE TABLE bench.event_log (LIKE event.event_log INCLUDING ALL);
CREATE TABLE bench.event_ids (LIKE event.event_ids INCLUDING ALL);
CREATE TABLE bench.vectors (id uuid PRIMARY KEY, embedding extensions.vector({DIMENSION}));
CREATE INDEX ON bench.vectors USING hnsw (embedding extensions.vector_cosine_ops);
"""
LOG_COLUMNS = (
    *("position", "created_at", "occurred_at", "consent_version", "event_id", "subject_id"),
    *("person_id", "event_type", "platform", "content", "metadata"),
)
ID_COLUMNS = ("event_id", "position", "created_at", "body_hash")
INSERT = f"""
WITH logged AS (
    INSERT INTO bench.event_log ({", ".join(LOG_COLUMNS)})
    SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $2::timestamptz[], $3::bigint[],
                         $4::uuid[], $5::uuid[], $5::uuid[], $6::text[], $7::text[], $8::jsonb[],
                         $9::jsonb[])
)
INSERT INTO bench.event_ids ({", ".join(ID_COLUMNS)})
SELECT * FROM unnest($4::uuid[], $1::bigint[], $2::timestamptz[], $10::bytea[])
"""
NEAREST = """
SELECT id FROM bench.vectors ORDER BY embedding OPERATOR(extensions.<=>) $1 LIMIT 10
"""
CONTENT = '{"text": "A message of quite ordinary length.", "role": "user"}'


async def rows(running: RunningKith) -> AsyncIterator[tuple[str, Figures]]:
    """Empty RPCs, bare and in the kit; inserts, COPY and a vector query."""
    for kind, title in (("bare", "empty RPC"), ("kit", "empty RPC in the kit")):
        for callers in CALLERS:
            async with echo_call(kind) as call:
                yield (
                    f"floor: {title}, {callers} callers",
                    await closed_loop(lambda call=call: call(b""), callers=callers),
                )
    async for name, found in database(running.addresses["database_url"]):
        yield f"floor: {name}", found


async def database(url: str) -> AsyncIterator[tuple[str, Figures]]:
    """What asyncpg does with the same Postgres: one row, many rows, COPY, a vector query."""
    pool = await asyncpg.create_pool(url, init=speak_vectors, min_size=8, max_size=8)
    numbers = itertools.count(1)

    async def insert(batch: list[list[Any]]) -> None:
        await pool.execute(INSERT, *batch)

    async def copy(batch: list[list[Any]]) -> None:
        position, created_at, consent, event_id, person, kind, platform, content, data, digest = (
            batch
        )
        async with pool.acquire() as connection, connection.transaction():
            for table, columns, found in (
                ("event_log", LOG_COLUMNS, zip(position, created_at, created_at, consent, event_id,
                 person, person, kind, platform, content, data, strict=True)),
                ("event_ids", ID_COLUMNS, zip(event_id, position, created_at, digest, strict=True)),
            ):  # fmt: skip
                await connection.copy_records_to_table(
                    table, schema_name="bench", columns=columns, records=found
                )

    async def measured(
        write: Callable[[list[list[Any]]], Awaitable[None]], rows: int, batches: int
    ) -> Figures:
        # Made before, so that what is measured is the insert.
        ready = [_columns(rows, numbers) for _ in range(batches)]
        batch = iter(ready)
        return await closed_loop(lambda: write(next(batch)), callers=1, items=rows)

    try:
        await pool.execute(TABLES)
        yield "asyncpg insert, 1 row, 1 caller", await measured(insert, 1, 30_000)
        yield f"asyncpg insert, {ROWS} rows, 1 caller (rows)", await measured(insert, ROWS, 600)
        yield f"asyncpg COPY, {ROWS} rows, 1 caller (rows)", await measured(copy, ROWS, 600)
        yield f"pgvector nearest of {ITEMS}, 1 caller", await _nearest(pool)
    finally:
        await pool.execute("DROP SCHEMA bench CASCADE")
        # What the floors wrote is not to be flushed while Kith is measured.
        await pool.execute("CHECKPOINT")
        await pool.close()


def _columns(count: int, numbers: Any) -> list[list[Any]]:
    """So many rows like the events that Kith is given, as arrays."""
    now, person = datetime.now(UTC), uuid.uuid4()
    found = [
        (next(numbers), now, 0, uuid.uuid4(), person, "message", "web", CONTENT, "{}",
         os.urandom(32))
        for _ in range(count)
    ]  # fmt: skip
    return [list(column) for column in zip(*found, strict=True)]


async def speak_vectors(connection: Any) -> None:
    """Have the connection pass vectors as texts."""
    # As a parameter of its own type; a cast in the query would be done for each row.
    await connection.set_type_codec(
        "vector", schema="extensions", encoder=str, decoder=str, format="text"
    )


async def _nearest(pool: asyncpg.Pool) -> Figures:
    generator = np.random.default_rng(1)
    vectors = [str(row.tolist()) for row in generator.standard_normal((ITEMS, DIMENSION))]
    await pool.execute(
        "INSERT INTO bench.vectors SELECT gen_random_uuid(), v::extensions.vector "
        "FROM unnest($1::text[]) AS v",
        vectors,
    )
    await pool.execute("ANALYZE bench.vectors")
    queries = itertools.cycle(vectors)
    return await closed_loop(lambda: pool.fetch(NEAREST, next(queries)), callers=1)
