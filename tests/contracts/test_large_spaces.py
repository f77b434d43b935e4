"""What pgvector does with spaces that are too large to compare every vector."""

import asyncio
import math
import random

import pytest

from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.domain.items import Filter, Space, Vector
from knowledge_svc.ports.items import VectorIndex
from svckit import ids, sql
from tests.support.cluster import Database
from tests.support.knowledge import as_administrator
from tests.support.vectors import SPACE, a_vector, near

ANN, BEN = ids.named("ann"), ids.named("ben")


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
def pgvector(direct_functions: sql.SqlFunctions) -> VectorIndex:
    return PgvectorIndex(direct_functions)


async def has_near_index(database: Database) -> bool:
    async with as_administrator(database) as connection:
        name = f"knowledge.vectors_{SPACE.name}_near"
        return await connection.fetchval("SELECT to_regclass($1)", name) is not None


async def test_writers_at_once_build_pgvectors_index_together_and_lose_nothing(pgvector, database):
    await pgvector.prepare(SPACE)
    chance = random.Random(5)

    def some(count: int) -> list[Vector]:
        return [a_vector(*(chance.gauss(0, 1) for _ in range(3))) for _ in range(count)]

    await asyncio.gather(*(pgvector.upsert(SPACE.name, some(2500)) for _ in range(4)))
    assert not await has_near_index(database)
    late = [some(5) for _ in range(6)]
    await asyncio.gather(*(pgvector.upsert(SPACE.name, part) for part in late))

    assert await has_near_index(database)
    for vector in (part[0] for part in late):
        assert vector.knowledge_id in await near(pgvector, *vector.values, limit=3)


@pytest.mark.parametrize(
    ("dimension", "before", "after"),
    [(1280, 1999, True), (1280, 1998, False), (2048, 2100, False)],
)
async def test_vectors_of_many_dimensions_are_indexed_sooner_and_too_many_not_at_all(
    pgvector, database, dimension, before, after
):
    """So the write that builds the index is done in time; of 2,001 dimensions there is none."""
    await pgvector.prepare(Space(SPACE.name, "model", dimension, "whole-1"))
    async with as_administrator(database) as connection:
        await connection.execute(
            f"""INSERT INTO knowledge.vectors_{SPACE.name}
                    (knowledge_id, occurred_at, namespace, embedding)
                SELECT gen_random_uuid(), now(), 'default',
                       array_fill(n::real, ARRAY[{dimension}])::extensions.vector
                FROM generate_series(1, $1::integer) n""",
            before,
        )

    # The index is built before what comes is added: the second write meets the first.
    for n in range(2):
        await pgvector.upsert(SPACE.name, [a_vector(*([1.0] * (dimension - 1)), n)])

    assert await has_near_index(database) is after


async def test_in_a_large_space_pgvectors_page_is_full_and_nearly_exact(pgvector, database):
    """Beyond 10,000 vectors the search goes by the approximate index."""
    await pgvector.prepare(SPACE)
    chance = random.Random(3)
    vectors = [
        a_vector(*(chance.gauss(0, 1) for _ in range(3)), subject_id=ANN if n % 50 else BEN)
        for n in range(11_700)
    ]
    for start in range(0, len(vectors), 1300):
        await pgvector.upsert(SPACE.name, vectors[start : start + 1300])

    def exact(query: tuple[float, ...], among: list[Vector]) -> list[str]:
        def cosine(vector: Vector) -> float:
            dot = sum(a * b for a, b in zip(vector.values, query, strict=True))
            return dot / math.hypot(*vector.values)

        return [v.knowledge_id for v in sorted(among, key=cosine, reverse=True)[:20]]

    assert await has_near_index(database)
    everybody = await near(pgvector, 0.3, -1, 0.5, limit=20)
    bens = await near(pgvector, 0.3, -1, 0.5, limit=20, narrow=Filter(subject_ids=[BEN]))

    assert len(everybody) == 20
    assert len(set(everybody) & set(exact((0.3, -1, 0.5), vectors))) >= 16
    assert list(bens) == exact((0.3, -1, 0.5), [v for v in vectors if v.subject_id == BEN])
