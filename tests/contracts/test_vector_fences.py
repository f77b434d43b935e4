"""However late vectors come on pgvector, none is left that should not be there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
import pytest

from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.domain.items import Filter, Space, Stored, Vector, Write
from svckit import ids, migrate, sql
from svckit.errors import SqlError
from tests.support.cluster import Cluster, Database
from tests.support.knowledge import an_entry, as_administrator, eventually

SPACE = Space("test", "model", 3, "whole-1")


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
async def index(functions: sql.SqlFunctions) -> PgvectorIndex:
    """An empty space, over each transport in turn."""
    prepared = PgvectorIndex(functions)
    await prepared.prepare(SPACE)
    return prepared


@pytest.fixture
def items(functions: sql.SqlFunctions) -> SqlItemStore:
    return SqlItemStore(functions)


async def stored(items: SqlItemStore) -> Write:
    """The write of a new item."""
    [answer] = await items.store([an_entry(ids.new())])
    assert isinstance(answer, Stored)
    assert answer.revision is not None
    return Write(answer.knowledge_id, answer.revision)


def a_vector(write: Write, *values: float, **changes: Any) -> Vector:
    given = {"revision": write.revision, **changes}
    return Vector(
        write.knowledge_id, values or (1, 0, 0), "default", "2026-01-01T00:00:00+00:00", **given
    )


async def delete(items: SqlItemStore, index: PgvectorIndex, *written: Write) -> None:
    """A deletion from its first step to its last."""
    gone = [write.knowledge_id for write in written]
    await items.start_deletions(gone, [ids.new() for _ in gone], owner="me", lease_seconds=30)
    await index.delete(SPACE.name, gone)
    await items.finish_deletions(gone, owner="me")


async def held(index: PgvectorIndex) -> list[str]:
    return list((await index.ids(SPACE.name, after=None, limit=100)).ids)


async def found(index: PgvectorIndex, write: Write) -> tuple[float, ...]:
    """How near the item's vector is to the two first axes."""
    near = [
        await index.nearest(SPACE.name, axis, limit=1, narrow=Filter(), ids=[write.knowledge_id])
        for axis in ((1, 0, 0), (0, 1, 0))
    ]
    return tuple(round(match.similarity, 5) for [match] in near)


@asynccontextmanager
async def stalled_upsert(database: Database, *vectors: Vector) -> AsyncIterator[Any]:
    """A connection whose upsert is done and not committed."""
    async with as_administrator(database) as connection, connection.transaction():
        given = orjson.dumps([vars(vector) for vector in vectors]).decode()
        await connection.execute("SELECT knowledge.upsert_vectors($1, $2)", SPACE.name, given)
        yield connection


async def wait_for_lock(database: Database, count: int = 1) -> None:
    """Return when so many others wait for a lock."""

    async def waiting() -> bool:
        async with as_administrator(database) as connection:
            return bool(count <= await connection.fetchval(
                """SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'"""
            ))  # fmt: skip

    await eventually(waiting)


async def test_a_vector_that_comes_after_the_deletion_is_left_out(index, items):
    gone, kept = await stored(items), await stored(items)
    await delete(items, index, gone)

    await index.upsert(SPACE.name, [a_vector(gone), a_vector(kept)])

    assert await held(index) == [kept.knowledge_id]


async def test_a_vector_that_comes_between_the_steps_of_a_deletion_is_left_out(index, items):
    write = await stored(items)
    await items.start_deletions([write.knowledge_id], [ids.new()], owner="me", lease_seconds=30)

    await index.upsert(SPACE.name, [a_vector(write)])

    assert await held(index) == []


async def test_a_deletion_waits_for_the_vectors_that_are_being_written_and_removes_them(
    index, items, database: Database
):
    write = await stored(items)

    async with stalled_upsert(database, a_vector(write)):
        deletion = asyncio.create_task(delete(items, index, write))
        await wait_for_lock(database)
        assert not deletion.done()
    await deletion

    assert await held(index) == []


async def test_vectors_wait_for_a_deletion_that_began_and_are_then_left_out(
    index, items, database: Database
):
    gone, kept = await stored(items), await stored(items)
    async with as_administrator(database) as connection:
        async with connection.transaction():
            requests = orjson.dumps([{"knowledge_id": gone.knowledge_id, "request_id": ids.new()}])
            await connection.execute(
                "SELECT knowledge.start_deletions($1, 'me', 30000)", requests.decode()
            )
            writing = asyncio.create_task(
                index.upsert(SPACE.name, [a_vector(gone), a_vector(kept)])
            )
            await wait_for_lock(database)
        await writing

    assert await held(index) == [kept.knowledge_id]


async def test_a_vector_of_an_older_write_never_takes_the_place_of_a_newer_one(index, items):
    write = await stored(items)
    later = Write(write.knowledge_id, write.revision + 1)
    await index.upsert(SPACE.name, [a_vector(later, 0, 1, 0)])

    await index.upsert(SPACE.name, [a_vector(write, 1, 0, 0)])
    assert await found(index, write) == (0, 1)
    await index.upsert(SPACE.name, [a_vector(later, 1, 0, 0)])
    assert await found(index, write) == (1, 0)


async def test_a_vector_of_an_older_write_than_the_items_is_left_out(
    index, items, database: Database
):
    write = await stored(items)
    async with as_administrator(database) as connection:
        await connection.execute(
            "UPDATE knowledge.knowledge_items SET revision = nextval('knowledge.revisions')"
        )

    await index.upsert(SPACE.name, [a_vector(write)])

    assert await held(index) == []


async def test_a_change_that_leaves_nothing_to_embed_waits_for_the_vector_of_the_write_before(
    index, items, database: Database
):
    """The item is free to be changed meanwhile; only removing its vector waits."""
    write = await stored(items)

    async with stalled_upsert(database, a_vector(write)):
        async with as_administrator(database) as connection:
            await connection.execute(
                "UPDATE knowledge.knowledge_items SET revision = nextval('knowledge.revisions')"
            )
        removal = asyncio.create_task(index.delete(SPACE.name, [write.knowledge_id]))
        await wait_for_lock(database)
    await removal

    assert await held(index) == []


async def test_an_upsert_that_dies_halfway_leaves_nothing_and_holds_nobody_up(
    index, items, database: Database
):
    write = await stored(items)
    with pytest.raises(asyncpg.InterfaceError):
        async with (
            stalled_upsert(database, a_vector(write)) as connection,
            as_administrator(database) as other,
        ):
            pid = connection.get_server_pid()
            await other.execute("SELECT pg_terminate_backend($1, 5000)", pid)

    await delete(items, index, write)

    assert await held(index) == []


async def test_writers_and_deletions_of_the_same_items_at_once_leave_no_vector(index, items):
    """Real concurrency, in opposite orders, so that locks in any order but one would deadlock."""
    written = [await stored(items) for _ in range(30)]
    vectors = [a_vector(write) for write in written]

    await asyncio.gather(
        *(index.upsert(SPACE.name, vectors[:: (-1) ** n]) for n in range(6)),
        *(delete(items, index, *written[n::3][::-1]) for n in range(3)),
        *(index.upsert(SPACE.name, vectors[n:]) for n in range(0, 30, 5)),
    )

    assert await held(index) == []


async def test_the_space_that_serves_is_not_dropped(index, functions):
    await SqlIndexQueue(functions).ensure_space(SPACE)

    with pytest.raises(SqlError) as refused:
        await index.drop(SPACE.name)

    assert refused.value.code == "ZK009"
    assert await index.count(SPACE.name) == 0


async def test_a_space_from_before_the_fence_goes_on_with_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    """The migration meets spaces that have vectors already."""
    every = migrate.files("knowledge_svc")
    with cluster.database("template1") as bare:
        with monkeypatch.context() as before:
            before.setattr(migrate, "files", lambda _: [file for file in every if file[0] < 9])
            await migrate.migrate(bare.url(), "knowledge_svc", "knowledge")
        async with sql.open_pool(bare.url("kith_knowledge")) as pool:
            index = PgvectorIndex(sql.AsyncpgFunctions(pool, "knowledge"))
            await index.prepare(SPACE)
            old, new = (a_vector(Write(ids.new(), 1), content_hash="ab") for _ in range(2))
            await index.upsert(SPACE.name, [old])

            await migrate.migrate(bare.url(), "knowledge_svc", "knowledge")
            await index.upsert(SPACE.name, [new])

            fetched = await index.fetch(SPACE.name, [old.knowledge_id, new.knowledge_id])
    assert {one.knowledge_id: one.content_hash for one in fetched} == {
        old.knowledge_id: None,
        new.knowledge_id: "ab",
    }
