"""Pages of an export to messages that any client can take."""

from collections.abc import Iterator, Sequence

from event_svc.domain.log import Event
from event_svc.wire.log import from_event
from kith.event.v1 import event_service_pb2 as pb

# Clients take messages of 4 MiB unless told otherwise; one event is at most about 3 MiB.
MESSAGE_BYTES = 1 << 20


def from_page(events: Sequence[Event]) -> Iterator[pb.ExportEventsResponse]:
    """The events of a page in messages of about 1 MiB; none for none."""
    message, size = pb.ExportEventsResponse(), 0
    for event in map(from_event, events):
        size += event.ByteSize()
        message.events.append(event)
        if size >= MESSAGE_BYTES:
            yield message
            message, size = pb.ExportEventsResponse(), 0
    if message.events:
        yield message
