"""Messages about subscriptions to the domain, checked on the way, and back."""

from event_svc.domain.log import Event
from event_svc.domain.subscriptions import Delivery, From, Mark
from event_svc.wire.log import from_event, to_position
from kith.event.v1 import event_service_pb2 as pb
from svckit.errors import InvalidRequest

_MARKS = {
    Mark.EVENTS: pb.SUBSCRIPTION_MARK_EVENTS,
    Mark.CAUGHT_UP: pb.SUBSCRIPTION_MARK_CAUGHT_UP,
    Mark.HEARTBEAT: pb.SUBSCRIPTION_MARK_HEARTBEAT,
}


def to_start(request: pb.SubscribeEventsRequest) -> From | int:
    """Where a subscription begins: with what is new, unless it says otherwise."""
    match request.WhichOneof("start"):
        case "after_position":
            return to_position(request.after_position, "after_position")
        case "from_beginning" | "from_now" as field if not getattr(request, field):
            raise InvalidRequest(field, "must be true where it is given")
        case "from_beginning":
            return From.BEGINNING
        case _:
            return From.NOW


def shown(event: Event) -> bytes:
    """An event as a part of any delivery: serialised messages put together are their merge."""
    return pb.SubscribeEventsResponse(events=[from_event(event)]).SerializeToString()


def from_delivery(delivery: Delivery) -> pb.SubscribeEventsResponse:
    """What a subscriber is given."""
    response = pb.SubscribeEventsResponse.FromString(b"".join(delivery.shown))
    response.mark = _MARKS[delivery.mark]
    response.position = delivery.position
    return response
