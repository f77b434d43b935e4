"""Reads events back by position: a repeat is answered out of what was logged the first time."""

from collections.abc import Iterable

from gateway.clients import MOST_EVENTS, Events
from kith.event.v1 import event_pb2, event_service_pb2


async def originals_of(events: Events, positions: Iterable[int]) -> dict[int, event_pb2.Event]:
    """The events at these positions, as far as the log still has them.

    A batch that is repeated as a whole stands together in the log, so pages are read from
    the first position that is wanted; each read settles at least that one.
    """
    asked = {position for position in positions if position > 0}
    wanted = sorted(asked)
    found: dict[int, event_pb2.Event] = {}
    while wanted:
        page = await events.page(
            event_service_pb2.ListEventsRequest(
                after_position=wanted[0] - 1,
                order=event_service_pb2.ORDER_ASCENDING,
                page_size=min(len(wanted), MOST_EVENTS),
            )
        )
        found |= {event.position: event for event in page.events if event.position in asked}
        last = page.events[-1].position if page.events else wanted[-1]
        wanted = [position for position in wanted[1:] if position > last]
    return found
