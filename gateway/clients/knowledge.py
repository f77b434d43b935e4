"""What is known."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gateway.batched import Batched
from gateway.channels import Channel
from gateway.clients.service import Service
from gateway.tracing import Trace
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2
from kith.knowledge.v1.index_service_pb2_grpc import IndexServiceStub
from kith.knowledge.v1.integrity_service_pb2_grpc import IntegrityServiceStub
from kith.knowledge.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from svckit.batcher import Size

if TYPE_CHECKING:
    from kith.knowledge.v1.index_service_pb2_grpc import IndexServiceAsyncStub as AsyncIndexStub
    from kith.knowledge.v1.integrity_service_pb2_grpc import (
        IntegrityServiceAsyncStub as AsyncIntegrityStub,
    )
    from kith.knowledge.v1.knowledge_service_pb2_grpc import KnowledgeServiceAsyncStub as AsyncStub
else:
    # Only the types tell the two apart.
    AsyncStub = KnowledgeServiceStub
    AsyncIntegrityStub = IntegrityServiceStub
    AsyncIndexStub = IndexServiceStub


class Knowledge(Service[AsyncStub]):
    """The knowledge service; `store_seconds` is how long a batch may take to be stored."""

    def __init__(self, channel: Channel, seconds: float, store_seconds: float) -> None:
        super().__init__(channel, KnowledgeServiceStub(channel.grpc), seconds)
        self.integrity: AsyncIntegrityStub = IntegrityServiceStub(channel.grpc)
        self.index: AsyncIndexStub = IndexServiceStub(channel.grpc)
        self._store_seconds = store_seconds
        self._store = Batched("store", self._store_all, lambda item: Size(bytes=item.ByteSize()))
        self._batches += [self._store]

    async def store(
        self, items: Iterable[knowledge_pb2.NewKnowledge]
    ) -> list[knowledge_service_pb2.StoreKnowledgeResponse | BaseException]:
        """Keep each item."""
        return await self._store.submit_all(items)

    async def missing(self, knowledge_ids: Sequence[str]) -> set[str]:
        """Those of up to 1,000 ids that are neither stored nor deleted."""
        request = knowledge_service_pb2.FindMissingRequest(knowledge_ids=knowledge_ids)
        return set((await self.ask(self.stub.FindMissing, request)).missing_ids)

    async def search(
        self, request: knowledge_service_pb2.SearchKnowledgeRequest, seconds: float
    ) -> knowledge_service_pb2.SearchKnowledgeResponse:
        """What a query finds."""
        return await self.channel.call(self.stub.SearchKnowledge, request, seconds)

    async def delete(self, knowledge_id: str) -> None:
        """Delete an item for good; one that is not there yet never comes."""
        request = knowledge_service_pb2.DeleteKnowledgeRequest(knowledge_id=knowledge_id, bar=True)
        await self.ask(self.stub.DeleteKnowledge, request)

    async def _store_all(self, items: list[knowledge_pb2.NewKnowledge], trace: Trace) -> list[Any]:
        request = knowledge_service_pb2.BatchStoreKnowledgeRequest(
            requests=[knowledge_service_pb2.StoreKnowledgeRequest(item=item) for item in items]
        )
        method = self.stub.BatchStoreKnowledge
        answer = await self.channel.call(method, request, self._store_seconds, trace)
        return self._outcomes(answer.results)
