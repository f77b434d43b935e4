"""Killed at any step of its work, the service finishes it after a restart."""

from functools import partial

import grpc
import pytest

from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from tests.support.cluster import Database
from tests.support.dying import dying_service
from tests.support.knowledge import Stub, a_request, eventually

pytestmark = pytest.mark.system


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
