"""RetainEvents' messages to the domain, checked on the way, and back."""

from event_svc.domain.retention import MOST_DAYS, Retained
from kith.event.v1 import event_service_pb2 as pb
from svckit.errors import InvalidRequest


def to_keep_days(days: int) -> int:
    """How many whole days before today are kept."""
    if not 1 <= days <= MOST_DAYS:
        raise InvalidRequest("days", f"must be 1 to {MOST_DAYS}")
    return days


def from_retained(retained: Retained) -> pb.RetainEventsResponse:
    """What went, or would go."""
    return pb.RetainEventsResponse(
        dropped_days=[day.day for day in retained.days],
        dropped_events=retained.events,
        dropped_keys=retained.forgotten_ids,
    )
