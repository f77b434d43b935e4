"""The floors: what the parts below Kith can do at best, on the same machine in the same run."""

import itertools
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import numpy as np

from bench.echo import echo_call
from bench.measure import Figures, closed_loop

ROWS = 1000
ITEMS = 1000
DIMENSION = 256

TABLES = f"""
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE TABLE bench.events (
    event_id uuid PRIMARY KEY, position bigint, subject_id uuid, event_type text,
    content jsonb, metadata jsonb, created_at timestamptz DEFAULT now()
);
CREATE INDEX ON bench.events (subject_id, position);
CREATE TABLE bench.vectors (id uuid PRIMARY KEY, embedding extensions.vector({DIMENSION}));
CREATE INDEX ON bench.vectors USING hnsw (embedding extensions.vector_cosine_ops);
"""
INSERT = """
INSERT INTO bench.events (event_id, position, subject_id, event_type, content, metadata)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::jsonb[], $6::jsonb[])
"""
NEAREST = """
SELECT id FROM bench.vectors ORDER BY embedding OPERATOR(extensions.<=>) $1 LIMIT 10
"""
CONTENT = '{"text": "A message of quite ordinary length, as people write them.", "role": "user"}'


async def echo(callers: int) -> Figures:
    """An empty unary gRPC call between two processes."""
    async with echo_call() as call:
        return await closed_loop(lambda: call(b""), callers=callers)


async def database(url: str) -> AsyncIterator[tuple[str, Figures]]:
    """What asyncpg does with the same Postgres: one row, many rows, a vector query."""
    pool = await asyncpg.create_pool(url, init=_speak_vectors, min_size=8, max_size=8)
    numbers = itertools.count()
    subject = uuid.uuid4()

    def rows(count: int) -> list[list[object]]:
        columns = [
            (uuid.uuid4(), next(numbers), subject, "message", CONTENT, "{}") for _ in range(count)
        ]
        return [list(column) for column in zip(*columns, strict=True)]

    try:
        await pool.execute(TABLES)
        yield (
            "asyncpg insert, 1 row, 1 caller",
            await closed_loop(lambda: pool.execute(INSERT, *rows(1)), callers=1),
        )
        yield (
            f"asyncpg insert, {ROWS} rows, 1 caller (rows)",
            await closed_loop(lambda: pool.execute(INSERT, *rows(ROWS)), callers=1, items=ROWS),
        )
        yield f"pgvector nearest of {ITEMS}, 1 caller", await _nearest(pool)
    finally:
        await pool.execute("DROP SCHEMA bench CASCADE")
        # What the floors wrote is not to be flushed while Kith is measured.
        await pool.execute("CHECKPOINT")
        await pool.close()


async def _speak_vectors(connection: Any) -> None:
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
