"""What every VectorIndex does; a new adapter adds a fixture and a name to `index`."""

import asyncio
import hashlib
import math
import random
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.adapters.pinecone import PineconePlace, open_pinecone
from knowledge_svc.domain.items import Filter, Space, Vector
from knowledge_svc.ports.items import VectorIndex
from svckit import ids, sql
from svckit.errors import Unavailable
from tests.support import pinecone as stand_in
from tests.support.cluster import Database
from tests.support.knowledge import as_administrator, eventually

SPACE = Space("test", "model", 3, "whole-1")
OTHER = Space("other", "model", 3, "whole-1")
ANN, BEN = ids.named("ann"), ids.named("ben")
EVERYTHING = Filter()


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
def pgvector(direct_functions: sql.SqlFunctions) -> VectorIndex:
    return PgvectorIndex(direct_functions)


@pytest.fixture
def pgvector_over_rest(rest_functions: sql.SqlFunctions) -> VectorIndex:
    return PgvectorIndex(rest_functions)


@pytest.fixture
async def pinecone(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[VectorIndex]:
    service = stand_in.Pinecone()
    async with service.running() as url:
        monkeypatch.setenv("PINECONE_CONTROLLER_HOST", url)
        service.add("kith", SPACE.dimension)
        async with open_pinecone(stand_in.KEY, PineconePlace("kith")) as index:
            yield index


@pytest.fixture(params=["pgvector", "pgvector_over_rest", "pinecone"])
def adapter(request: pytest.FixtureRequest) -> VectorIndex:
    """Each kind of index in turn."""
    chosen: VectorIndex = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
async def index(adapter: VectorIndex) -> VectorIndex:
    """An empty index with one space."""
    await adapter.prepare(SPACE)
    return adapter


def a_vector(*values: float, **changes) -> Vector:
    given = {
        "knowledge_id": ids.new(),
        "namespace": "default",
        "occurred_at": "2026-01-01T00:00:00+00:00",
        **changes,
    }
    return Vector(values=values, **given)


async def near(index: VectorIndex, *query: float, narrow: Filter = EVERYTHING, **changes):
    """The ids nearest to a point, and their similarities."""
    matches = await index.nearest(
        changes.get("space", SPACE.name), query, limit=changes.get("limit", 10), narrow=narrow,
        ids=changes.get("ids"),
    )  # fmt: skip
    return {match.knowledge_id: match.similarity for match in matches}


async def visible(index: VectorIndex, count: int) -> None:
    """Wait until so many vectors are found; an index may lag."""

    async def all_there() -> bool:
        return len(await near(index, 1, 1, 1, limit=count + 1)) == count

    await eventually(all_there)


async def test_the_nearest_come_first_with_their_cosine(index):
    east, north_east, west = a_vector(1, 0, 0), a_vector(3, 3, 0), a_vector(-2, 0, 0)
    await index.upsert(SPACE.name, [west, north_east, east])
    await visible(index, 3)

    found = await near(index, 5, 0, 0)

    assert list(found) == [east.knowledge_id, north_east.knowledge_id, west.knowledge_id]
    assert list(found.values()) == pytest.approx([1, math.sqrt(0.5), -1], abs=1e-5)


async def test_no_more_are_found_than_asked_for_and_equal_ones_by_id(index):
    vectors = [a_vector(1, 2, 3) for _ in range(9)]
    await index.upsert(SPACE.name, vectors)
    await visible(index, 9)

    found = await near(index, 1, 2, 3, limit=4)

    assert len(found) == 4
    assert list(found) == sorted(found)
    assert set(found) <= {vector.knowledge_id for vector in vectors}


async def test_of_equal_ones_pgvector_finds_the_first_by_id(pgvector):
    await pgvector.prepare(SPACE)
    vectors = [a_vector(1, 2, 3) for _ in range(9)]
    await pgvector.upsert(SPACE.name, vectors)

    found = await near(pgvector, 1, 2, 3, limit=4)

    assert list(found) == sorted(vector.knowledge_id for vector in vectors)[:4]


async def test_a_vector_of_the_same_item_is_replaced(index):
    before = a_vector(1, 0, 0, namespace="before")
    after = a_vector(0, 1, 0, namespace="after", knowledge_id=before.knowledge_id)
    await index.upsert(SPACE.name, [before])
    await index.upsert(SPACE.name, [after])

    async def replaced() -> bool:
        return bool(await near(index, 0, 1, 0, narrow=Filter(namespaces=["after"])))

    await eventually(replaced)
    assert await near(index, 0, 1, 0) == pytest.approx({before.knowledge_id: 1})


async def test_deleted_vectors_are_not_found_and_unknown_ids_are_fine(index):
    kept, gone = a_vector(1, 0, 0), a_vector(1, 0, 0)
    await index.upsert(SPACE.name, [kept, gone])
    await visible(index, 2)

    await index.delete(SPACE.name, [gone.knowledge_id, ids.new()])

    await visible(index, 1)
    assert list(await near(index, 1, 0, 0)) == [kept.knowledge_id]


@pytest.mark.parametrize(
    ("narrow", "fitting"),
    [
        (Filter(namespaces=["notes", "none"]), {"a"}),
        (Filter(subject_ids=[ANN, BEN]), {"a"}),
        (Filter(group_id=ids.named("g")), {"b"}),
        (Filter(session_id=ids.named("s")), {"b"}),
        (Filter(occurred_from="2026-01-02T00:00:00Z"), {"b"}),
        (Filter(occurred_to="2026-01-02T00:00:00Z"), {"a"}),
        (Filter(subject_ids=[ANN], namespaces=["default"]), set()),
    ],
)
async def test_a_search_can_be_narrowed(index, narrow, fitting):
    a = a_vector(1, 0, 0, namespace="notes", subject_id=ANN)
    b = a_vector(
        1, 0, 0, group_id=ids.named("g"), session_id=ids.named("s"),
        occurred_at="2026-01-02T00:00:00Z",
    )  # fmt: skip
    names = {a.knowledge_id: "a", b.knowledge_id: "b"}
    await index.upsert(SPACE.name, [a, b])
    await visible(index, 2)

    found = await near(index, 1, 0, 0, narrow=narrow)

    assert {names[one] for one in found} == fitting


async def test_a_search_can_be_narrowed_to_ids(index):
    vectors = [a_vector(1, n, 0) for n in range(20)]
    await index.upsert(SPACE.name, vectors)
    await visible(index, 20)
    chosen = [vectors[17].knowledge_id, vectors[3].knowledge_id, ids.new()]

    found = await near(index, 1, 0, 0, ids=chosen)

    assert list(found) == [vectors[3].knowledge_id, vectors[17].knowledge_id]


async def test_spaces_do_not_mix(index):
    other = Space("other", "another-model", 3, "whole-1")
    await index.prepare(other)
    mine, others = a_vector(1, 0, 0), a_vector(1, 0, 0)

    await index.upsert(SPACE.name, [mine])
    await index.upsert(other.name, [others])
    await visible(index, 1)

    assert list(await near(index, 1, 0, 0)) == [mine.knowledge_id]
    assert list(await near(index, 1, 0, 0, space=other.name)) == [others.knowledge_id]
    await index.delete(SPACE.name, [others.knowledge_id])
    assert (await index.ids(other.name, after=None, limit=5)).ids == [others.knowledge_id]


async def test_pgvector_has_spaces_of_different_dimensions_side_by_side(pgvector):
    other = Space("other", "model", 2, "whole-1")
    await pgvector.prepare(SPACE)
    await pgvector.prepare(other)
    mine, others = a_vector(1, 0, 0), a_vector(1, 0)

    await pgvector.upsert(SPACE.name, [mine])
    await pgvector.upsert(other.name, [others])

    assert list(await near(pgvector, 1, 0, 0)) == [mine.knowledge_id]
    assert list(await near(pgvector, 1, 0, space=other.name)) == [others.knowledge_id]


async def test_what_was_written_is_found_when_the_write_returns(index):
    for n in range(5):
        written = a_vector(1, n, 0)
        await index.upsert(SPACE.name, [written])

        assert written.knowledge_id in await near(index, 1, n, 0)


async def test_no_vectors_and_no_ids_are_fine(index):
    await index.upsert(SPACE.name, [])
    await index.delete(SPACE.name, [])

    assert await near(index, 1, 0, 0) == {}
    assert list(await index.fetch(SPACE.name, [])) == []
    assert (await index.ids(SPACE.name, after=None, limit=5)).ids == []


async def test_a_search_narrowed_to_nobody_finds_nothing(index):
    await index.upsert(SPACE.name, [a_vector(1, 0, 0)])
    await visible(index, 1)

    assert await near(index, 1, 0, 0, narrow=Filter(subject_ids=[])) == {}
    assert await near(index, 1, 0, 0, ids=[]) == {}


async def test_times_narrow_to_the_microsecond(index):
    early = a_vector(1, 0, 0, occurred_at="2026-01-01T00:00:00.000001+00:00")
    late = a_vector(1, 0, 0, occurred_at="2026-01-01T02:00:00.000002+02:00")
    await index.upsert(SPACE.name, [early, late])
    await visible(index, 2)
    border = "2026-01-01T00:00:00.000002Z"

    assert list(await near(index, 1, 0, 0, narrow=Filter(occurred_to=border))) == [
        early.knowledge_id
    ]
    assert list(await near(index, 1, 0, 0, narrow=Filter(occurred_from=border))) == [
        late.knowledge_id
    ]


async def test_a_census_walks_through_all_ids_in_pages_and_in_order(index):
    vectors = [a_vector(1, n, 0) for n in range(250)]
    await index.upsert(SPACE.name, vectors)
    await visible(index, 250)

    walked, after = [], None
    for _ in range(10):
        page = await index.ids(SPACE.name, after=after, limit=120)
        assert len(page.ids) <= 120
        walked += page.ids
        after = page.after
        if after is None:
            break

    assert after is None
    assert walked == sorted(vector.knowledge_id for vector in vectors)


async def test_what_is_held_of_a_vector_can_be_read(index):
    whole = a_vector(
        1, 0, 0, namespace="notes", subject_id=ANN, group_id=ids.named("g"),
        session_id=ids.named("s"), occurred_at="2026-01-02T03:04:05.678901+00:00",
    )  # fmt: skip
    bare = a_vector(0, 1, 0)
    await index.upsert(SPACE.name, [whole, bare])
    await visible(index, 2)

    asked = [whole.knowledge_id, bare.knowledge_id, ids.new()]
    held = {one.knowledge_id: one for one in await index.fetch(SPACE.name, asked)}

    assert held.keys() == {whole.knowledge_id, bare.knowledge_id}
    for vector in (whole, bare):
        found = held[vector.knowledge_id]
        for name in ("namespace", "subject_id", "group_id", "session_id"):
            assert getattr(found, name) == getattr(vector, name)
        assert datetime.fromisoformat(found.occurred_at) == datetime.fromisoformat(
            vector.occurred_at
        )


async def test_the_hash_of_the_content_is_kept_and_unknown_where_it_was_not_told(index):
    digest = hashlib.sha256(b"tea").hexdigest()
    told, untold = a_vector(1, 0, 0, content_hash=digest), a_vector(0, 1, 0)
    await index.upsert(SPACE.name, [told, untold])
    await visible(index, 2)

    held = await index.fetch(SPACE.name, [told.knowledge_id, untold.knowledge_id])

    assert {one.knowledge_id: one.content_hash for one in held} == {
        told.knowledge_id: digest,
        untold.knowledge_id: None,
    }


async def test_vectors_are_counted_by_space(index):
    assert await index.count(SPACE.name) == 0
    await index.prepare(OTHER)
    await index.upsert(SPACE.name, [a_vector(1, n, 0) for n in range(3)])
    await index.upsert(OTHER.name, [a_vector(1, 0, 0)])

    async def counted() -> bool:
        return [await index.count(one.name) for one in (SPACE, OTHER)] == [3, 1]

    await eventually(counted)


async def test_a_dropped_space_is_gone_with_its_vectors_and_can_be_made_again(index):
    await index.prepare(OTHER)
    kept = a_vector(1, 0, 0)
    await index.upsert(SPACE.name, [a_vector(1, 0, 0), a_vector(0, 1, 0)])
    await index.upsert(OTHER.name, [kept])

    await index.drop(SPACE.name)
    await index.drop(SPACE.name)

    with pytest.raises(Unavailable):
        await near(index, 1, 0, 0)
    with pytest.raises(Unavailable):
        await index.count(SPACE.name)
    await index.prepare(SPACE)
    assert await near(index, 1, 0, 0) == {}
    assert list(await near(index, 1, 0, 0, space=OTHER.name)) == [kept.knowledge_id]


async def test_a_space_of_an_earlier_process_can_be_dropped(index):
    await index.drop("long_ago")


async def test_vectors_go_by_what_they_can_be_narrowed_by(index):
    anns = [a_vector(1, n, 0, subject_id=ANN) for n in range(3)]
    bens = a_vector(1, 0, 0, subject_id=BEN)
    nobodys = a_vector(1, 0, 0)
    await index.upsert(SPACE.name, [*anns, bens, nobodys])
    await visible(index, 5)

    await index.delete_where(SPACE.name, Filter(subject_ids=[ANN]))
    await index.delete_where(SPACE.name, EVERYTHING)

    await visible(index, 2)
    assert set(await near(index, 1, 1, 1)) == {bens.knowledge_id, nobodys.knowledge_id}


async def test_preparing_again_keeps_what_is_there(index):
    await index.upsert(SPACE.name, [a_vector(1, 0, 0)])

    await index.prepare(SPACE)

    await visible(index, 1)


async def test_a_space_that_was_not_prepared_is_unavailable(index):
    with pytest.raises(Unavailable):
        await index.upsert("elsewhere", [a_vector(1, 0, 0)])
    with pytest.raises(Unavailable):
        await near(index, 1, 0, 0, space="elsewhere")
    with pytest.raises(Unavailable):
        await index.delete("elsewhere", [ids.new()])


async def test_a_vector_that_does_not_fit_the_space_is_an_error(index):
    with pytest.raises(Exception, match="dimension"):
        await index.upsert(SPACE.name, [a_vector(1, 0)])


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
