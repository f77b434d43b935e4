"""Reads events back by position: a repeat is answered out of what was logged the first time."""

from collections.abc import Iterable, Sequence
from functools import partial

from gateway.clients import MOST_EVENTS, Events
from gateway.flows.several import each
from kith.event.v1 import event_pb2, event_service_pb2

# How far apart what is read at once may stand: to read over so many events costs about as much
# as to ask once more.
_MOST_APART = 32
# How many pages are read at once.
_WIDTH = 16


async def originals_of(events: Events, positions: Iterable[int]) -> dict[int, event_pb2.Event]:
    """The events at these positions, as far as the log still has them.

    A batch that is repeated as a whole stands together in the log and is read in pages; what
    stands far apart is read by itself, and not what was logged in between.
    """
    runs = _runs(sorted({position for position in positions if position > 0}))
    found = await each(partial(_read, events), runs, at_once=_WIDTH)
    return {position: event for part in found for position, event in part.items()}


def _runs(positions: Iterable[int]) -> list[list[int]]:
    """Positions in their order, by what is to be read at once."""
    runs: list[list[int]] = []
    for position in positions:
        is_near = runs and position - runs[-1][-1] <= _MOST_APART
        if is_near and position - runs[-1][0] < MOST_EVENTS:
            runs[-1].append(position)
        else:
            runs.append([position])
    return runs


async def _read(events: Events, wanted: Sequence[int]) -> dict[int, event_pb2.Event]:
    """The events of one run; a page may be short, and settles at least the first of them."""
    asked = set(wanted)
    found: dict[int, event_pb2.Event] = {}
    while wanted:
        page = await events.page(
            event_service_pb2.ListEventsRequest(
                after_position=wanted[0] - 1,
                order=event_service_pb2.ORDER_ASCENDING,
                page_size=wanted[-1] - wanted[0] + 1,
            )
        )
        found |= {event.position: event for event in page.events if event.position in asked}
        last = page.events[-1].position if page.events else wanted[-1]
        wanted = [position for position in wanted[1:] if position > last]
    return found
