"""Killed at any step of its work, the service finishes it after a restart."""

from collections.abc import Awaitable
from functools import partial
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.adapters.wordllama import WordLlamaEmbedder
from knowledge_svc.domain.items import space_of
from tests.support.cluster import Database
from tests.support.dying import dying_service
from tests.support.knowledge import Stub, a_request, as_administrator, eventually
from tests.support.services import store_of

pytestmark = pytest.mark.kills


async def _is_indexed(stub: Stub, knowledge_id: str) -> bool:
    answer = await stub.GetKnowledge(pb.GetKnowledgeRequest(knowledge_id=knowledge_id))
    return bool(answer.item.index_state == knowledge_pb2.INDEX_STATE_INDEXED)


@pytest.mark.parametrize(
    ("at", "when"),
    [
        ("sql.store_items", "after"),
        ("sql.claim_pending", "after"),
        ("embedder.embed", "before"),
        ("index.upsert", "before"),
        ("index.upsert", "after"),
        ("sql.mark_indexed", "after"),
    ],
)
async def test_an_item_is_stored_and_indexed_once_wherever_the_service_dies(
    database: Database, at: str, when: str
) -> None:
    request = a_request(knowledge_id="01a1fd44-d34a-7075-be92-43d257a8708a")
    async with dying_service(database, at=at, when=when) as mortal:  # type: ignore[arg-type]
        try:
            await Stub(mortal.channel).StoreKnowledge(request, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
        await mortal.gone()

    async with dying_service(database) as reborn:
        stub = Stub(reborn.channel)
        stored = await stub.StoreKnowledge(request, wait_for_ready=True)
        assert stored.knowledge_id == request.item.knowledge_id
        await eventually(partial(_is_indexed, stub, stored.knowledge_id))


ITEM = "01a1fd44-d34a-7075-be92-43d257a8708b"


async def _tried(call: Awaitable[Any]) -> None:
    """Make a call that the service may die of."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE


async def _left(database: Database) -> list[int]:
    """How many items, states and vectors there are."""
    space = space_of(WordLlamaEmbedder.model, WordLlamaEmbedder.dimension).name
    async with as_administrator(database) as admin:
        return [
            await admin.fetchval(f"SELECT count(*) FROM knowledge.{table}")
            for table in ("knowledge_items", "index_states", f"vectors_{space}")
        ]


async def _is_nothing_left(database: Database) -> bool:
    return await _left(database) == [0, 0, 0]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", ["sql.start_deletions", "index.delete", "sql.finish_deletions"])
async def test_a_deletion_leaves_nothing_wherever_the_service_dies(
    database: Database, at: str, when: str
) -> None:
    async with dying_service(database, at=at, when=when) as mortal:  # type: ignore[arg-type]
        stub = Stub(mortal.channel)
        await stub.StoreKnowledge(a_request(knowledge_id=ITEM), wait_for_ready=True)
        await eventually(partial(_is_indexed, stub, ITEM))
        await _tried(stub.DeleteKnowledge(pb.DeleteKnowledgeRequest(knowledge_id=ITEM)))
        await mortal.gone()

    await _is_finished_by_another(database)


@pytest.mark.parametrize(
    ("at", "when"),
    [
        ("embedder.embed", "before"),
        ("index.upsert", "before"),
        ("index.upsert", "after"),
        ("sql.mark_indexed", "before"),
        ("sql.mark_indexed", "after"),
    ],
)
async def test_a_deletion_leaves_nothing_where_the_service_dies_while_it_indexes_the_item(
    database: Database, at: str, when: str
) -> None:
    """The deletion is begun by another replica while the dead one's lease lasts."""
    async with dying_service(database, at=at, when=when) as mortal:  # type: ignore[arg-type]
        request = a_request(knowledge_id=ITEM)
        await _tried(Stub(mortal.channel).StoreKnowledge(request, wait_for_ready=True))
        await mortal.gone()
    async with store_of(database, "knowledge") as store:
        await SqlItemStore(store.functions).start_deletions(
            [ITEM], [ITEM], owner="other", lease_seconds=0.1
        )

    await _is_finished_by_another(database)


async def _is_finished_by_another(database: Database) -> None:
    async with dying_service(database) as reborn:
        stub = Stub(reborn.channel)
        # What was not begun is the caller's to repeat.
        await stub.DeleteKnowledge(
            pb.DeleteKnowledgeRequest(knowledge_id=ITEM), wait_for_ready=True
        )
        await eventually(partial(_is_nothing_left, database))
        stored = await stub.StoreKnowledge(a_request(knowledge_id=ITEM))
        assert stored.outcome == pb.STORE_OUTCOME_DELETED


@pytest.mark.parametrize(
    ("at", "when"),
    [("sql.update_items", "before"), ("sql.update_items", "after"), ("index.upsert", "after")],
)
async def test_a_change_is_made_and_indexed_once_wherever_the_service_dies(
    database: Database, at: str, when: str
) -> None:
    request = pb.UpdateKnowledgeRequest(knowledge_id=ITEM, content="It is a dog, after all.")
    async with dying_service(database) as first:
        stub = Stub(first.channel)
        await stub.StoreKnowledge(a_request(knowledge_id=ITEM), wait_for_ready=True)
        await eventually(partial(_is_indexed, stub, ITEM))
    async with dying_service(database, at=at, when=when) as mortal:  # type: ignore[arg-type]
        await _tried(Stub(mortal.channel).UpdateKnowledge(request, wait_for_ready=True))
        await mortal.gone()

    async with dying_service(database) as reborn:
        stub = Stub(reborn.channel)
        changed = await stub.UpdateKnowledge(request, wait_for_ready=True)
        again = await stub.UpdateKnowledge(request)
        assert changed.index_token == again.index_token
        await eventually(partial(_is_indexed, stub, ITEM))
        hits = await stub.SearchKnowledge(
            pb.SearchKnowledgeRequest(query="dog", mode=pb.SEARCH_MODE_SEMANTIC)
        )
        assert [hit.item.content for hit in hits.hits] == ["It is a dog, after all."]
    assert await _left(database) == [1, 1, 1]
