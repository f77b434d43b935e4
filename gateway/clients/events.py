"""What happened."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gateway.batched import Batched
from gateway.channels import Answers, Channel
from gateway.clients.service import Service
from gateway.tracing import Trace
from kith.event.v1 import event_service_pb2
from kith.event.v1.event_service_pb2_grpc import EventServiceStub
from svckit import errors
from svckit.batcher import Size

if TYPE_CHECKING:
    from kith.event.v1.event_service_pb2_grpc import EventServiceAsyncStub as AsyncStub
else:
    # Only the types tell the two apart.
    AsyncStub = EventServiceStub

MOST_EVENTS = 1000


class Events(Service[AsyncStub]):
    """The event service."""

    def __init__(self, channel: Channel, seconds: float) -> None:
        super().__init__(channel, EventServiceStub(channel.grpc), seconds)
        self._log = Batched(
            "log",
            self._log_all,
            lambda request: Size(len(request.events), request.ByteSize()),
        )
        self._batches += [self._log]

    async def log(
        self, requests: Iterable[event_service_pb2.LogEventsRequest]
    ) -> list[event_service_pb2.LogEventsResponse | BaseException]:
        """Append the events of each request, all of them or none, in the order given."""
        return await self._log.submit_all(requests)

    async def page(
        self, request: event_service_pb2.ListEventsRequest
    ) -> event_service_pb2.ListEventsResponse:
        """A page of the log."""
        return await self.ask(self.stub.ListEvents, request)

    def subscribe(
        self, request: event_service_pb2.SubscribeEventsRequest
    ) -> Answers[event_service_pb2.SubscribeEventsResponse]:
        """Events as they are committed, until the answers are closed."""
        return self.channel.stream(self.stub.SubscribeEvents, request)

    async def cursor(self, name: str) -> int:
        """How far a consumer has come; 0 where nothing was saved yet."""
        request = event_service_pb2.GetCursorRequest(name=name)
        try:
            answer = await self.channel.call(self.stub.GetCursor, request, self._seconds)
        except errors.NotFound:
            return 0
        return answer.position

    async def acquire_cursor(
        self, name: str, owner: str, seconds: float
    ) -> event_service_pb2.AcquireCursorResponse:
        """Hold a cursor for so long from now on, or prolong that; CURSOR_HELD if others do."""
        request = event_service_pb2.AcquireCursorRequest(name=name, owner=owner)
        request.ttl.FromMilliseconds(round(seconds * 1000))
        return await self.ask(self.stub.AcquireCursor, request)

    async def save_cursor(self, name: str, position: int, fencing_token: int) -> None:
        """Record how far a consumer has come; LEASE_LOST if the cursor is not its own."""
        request = event_service_pb2.SaveCursorRequest(
            name=name, position=position, fencing_token=fencing_token
        )
        await self.ask(self.stub.SaveCursor, request)

    async def release_cursor(self, name: str, fencing_token: int) -> None:
        """Give a cursor back; one that was lost meanwhile is fine."""
        request = event_service_pb2.ReleaseCursorRequest(name=name, fencing_token=fencing_token)
        await self.ask(self.stub.ReleaseCursor, request)

    async def _log_all(
        self, requests: list[event_service_pb2.LogEventsRequest], trace: Trace
    ) -> list[Any]:
        request = event_service_pb2.BatchLogEventsRequest(requests=requests)
        answer = await self.channel.call(self.stub.BatchLogEvents, request, self._seconds, trace)
        return self._outcomes(answer.results)
