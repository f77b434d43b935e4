"""The log over a subscription to the event service itself."""

import os
from collections.abc import Iterator
from typing import cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from gateway.rendering.events import event as rendered
from kith.event.v1 import event_pb2, event_service_pb2
from kith.event.v1.event_service_pb2_grpc import EventServiceStub
from kithctl.failure import Failure
from kithctl.tail.source import Choice, Cut, Start, Told

_CONNECT_SECONDS = 5.0
# A peer that is frozen is noticed.
_OPTIONS = [("grpc.keepalive_time_ms", 20_000), ("grpc.http2.ping_timeout_ms", 5_000)]
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


class ServiceSource:
    """Events by way of the service, which knows links and not who is one person."""

    def __init__(self, address: str, choice: Choice) -> None:
        if choice.person_id is not None:
            raise Failure("--person needs the gateway, which knows who is one person")
        self._address = address
        self._filter = event_pb2.EventFilter(
            event_types=choice.event_types, platforms=choice.platforms
        )
        token = os.environ.get("KITH_SERVICE_TOKEN")
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        try:
            grpc.channel_ready_future(self._channel).result(timeout=_CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            raise Failure(f"nothing answers at {address}; is the event service there?") from None

    def tell(self, start: Start) -> Iterator[Told]:
        """See Source."""
        request = event_service_pb2.SubscribeEventsRequest(filter=self._filter)
        match start:
            case "beginning":
                request.from_beginning = True
            case "now":
                request.from_now = True
            case position:
                request.after_position = position
        try:
            stub = EventServiceStub(self._channel)
            for answer in stub.SubscribeEvents(request, metadata=self._metadata):
                yield from _told(answer)
        except grpc.RpcError as error:
            raise _translated(error, self._address) from None
        raise Cut("the service ended the stream")

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def _told(answer: event_service_pb2.SubscribeEventsResponse) -> Iterator[Told]:
    for event in answer.events:
        yield Told(event.position, dict(rendered(event)))
    caught_up = answer.mark == event_service_pb2.SUBSCRIPTION_MARK_CAUGHT_UP
    yield Told(answer.position, is_caught_up=caught_up)


def _translated(error: grpc.RpcError, address: str) -> Exception:
    # What a call raises is the call.
    call = cast(grpc.Call, error)
    code = call.code()
    if code in _PASSING:
        return Cut(f"{address}: {call.details()}")
    status = rpc_status.from_call(call)
    info = error_details_pb2.ErrorInfo()
    if status is not None:
        any(detail.Unpack(info) for detail in status.details)
    if info.reason == "POSITION_EXPIRED":
        first = info.metadata["first_position"]
        return Failure(f"retention has dropped what came then; --from {first} is what is left")
    return Failure(f"the event service answers {code.name}: {call.details()}")
