"""Killed at any step of setting or forgetting a memory, the service finishes it after a restart."""

from functools import partial

import grpc
import pytest

from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as items_pb
from kith.knowledge.v1 import memory_service_pb2 as pb
from tests.support.cluster import Database
from tests.support.dying import Process, dying_service
from tests.support.knowledge import as_administrator, eventually
from tests.support.memories import ADA, ItemStub, Stub, a_memory, to_set

pytestmark = pytest.mark.kills


async def _is_indexed(items: ItemStub, knowledge_id: str) -> bool:
    answer = await items.GetKnowledge(items_pb.GetKnowledgeRequest(knowledge_id=knowledge_id))
    return bool(answer.item.index_state == knowledge_pb2.INDEX_STATE_INDEXED)


async def _is_empty(database: Database) -> bool:
    """Whether no item and no vector is left."""
    async with as_administrator(database) as admin:
        space = await admin.fetchval("SELECT space FROM knowledge.spaces")
        left = await admin.fetchval(
            f"SELECT (SELECT count(*) FROM knowledge.knowledge_items)"
            f" + (SELECT count(*) FROM knowledge.vectors_{space})"
        )
    return bool(left == 0)


async def _dying_in(mortal: Process, call: grpc.aio.UnaryUnaryCall) -> None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE
    await mortal.gone()


@pytest.mark.parametrize(
    ("at", "when"),
    [
        ("sql.upsert_memories", "before"),
        ("sql.upsert_memories", "after"),
        ("index.upsert", "before"),
        ("sql.mark_indexed", "before"),
    ],
)
async def test_a_memory_is_set_once_and_indexed_wherever_the_service_dies(
    database: Database, at: str, when: str
) -> None:
    request = to_set(a_memory(), a_memory("pet", "a cat"))
    async with dying_service(database, at=at, when=when) as mortal:  # type: ignore[arg-type]
        stub = Stub(mortal.channel)
        await _dying_in(mortal, stub.UpsertMemories(request, wait_for_ready=True))

    async with dying_service(database) as reborn:
        stub = Stub(reborn.channel)
        done = await stub.UpsertMemories(request, wait_for_ready=True)
        is_new = (at, when) == ("sql.upsert_memories", "before")
        assert [(one.version, one.value) for one in done.memories] == [
            (1, "ramen with a soft egg"), (1, "a cat")
        ]  # fmt: skip
        assert list(done.changed) == [is_new] * 2
        for one in done.memories:
            await eventually(partial(_is_indexed, ItemStub(reborn.channel), one.knowledge_id))


@pytest.mark.parametrize(
    ("at", "when"),
    [
        ("sql.delete_memories", "before"),
        ("sql.delete_memories", "after"),
        ("index.delete", "before"),
        ("index.delete", "after"),
        ("sql.finish_deletions", "after"),
    ],
)
async def test_what_is_forgotten_leaves_nothing_wherever_the_service_dies(
    database: Database, at: str, when: str
) -> None:
    request = pb.DeleteMemoryRequest(person_id=ADA, key="favourite_food")
    async with dying_service(database, at=at, when=when) as mortal:  # type: ignore[arg-type]
        stub = Stub(mortal.channel)
        done = await stub.UpsertMemories(to_set(), wait_for_ready=True)
        items = ItemStub(mortal.channel)
        await eventually(partial(_is_indexed, items, done.memories[0].knowledge_id))
        await _dying_in(mortal, stub.DeleteMemory(request))

    async with dying_service(database) as reborn:
        stub = Stub(reborn.channel)
        await stub.DeleteMemory(request, wait_for_ready=True)
        await eventually(partial(_is_empty, database))
        history = await stub.ListMemoryVersions(
            pb.ListMemoryVersionsRequest(person_id=ADA, key="favourite_food")
        )
        assert [(one.version, one.deleted) for one in history.versions] == [
            (2, True), (1, False)
        ]  # fmt: skip
