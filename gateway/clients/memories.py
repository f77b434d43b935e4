"""What is remembered of people."""

from typing import TYPE_CHECKING, Any

from gateway.batched import Batched
from gateway.channels import Channel
from gateway.clients.service import Service
from gateway.tracing import Trace
from kith.knowledge.v1 import memory_service_pb2
from kith.knowledge.v1.memory_service_pb2_grpc import MemoryServiceStub
from svckit.batcher import Size

if TYPE_CHECKING:
    from kith.knowledge.v1.memory_service_pb2_grpc import MemoryServiceAsyncStub as AsyncStub
else:
    # Only the types tell the two apart.
    AsyncStub = MemoryServiceStub


class Memories(Service[AsyncStub]):
    """The service of memories; it shares the channel of knowledge."""

    def __init__(self, channel: Channel, seconds: float) -> None:
        super().__init__(channel, MemoryServiceStub(channel.grpc), seconds)
        self._upsert: Batched[
            memory_service_pb2.UpsertMemoriesRequest, memory_service_pb2.UpsertMemoriesResponse
        ] = Batched(
            "remember",
            self._upsert_all,
            lambda request: Size(len(request.memories), request.ByteSize()),
        )
        self._batches += [self._upsert]

    async def upsert(
        self, request: memory_service_pb2.UpsertMemoriesRequest
    ) -> memory_service_pb2.UpsertMemoriesResponse:
        """Set memories of one person, all or none."""
        return await self._upsert.submit(request)

    async def search(
        self, request: memory_service_pb2.SearchMemoriesRequest, seconds: float
    ) -> memory_service_pb2.SearchMemoriesResponse:
        """What a query finds."""
        return await self.channel.call(self.stub.SearchMemories, request, seconds)

    async def _upsert_all(
        self, requests: list[memory_service_pb2.UpsertMemoriesRequest], trace: Trace
    ) -> list[Any]:
        request = memory_service_pb2.BatchUpsertMemoriesRequest(requests=requests)
        method = self.stub.BatchUpsertMemories
        answer = await self.channel.call(method, request, self._seconds, trace)
        return self._outcomes(answer.results)
