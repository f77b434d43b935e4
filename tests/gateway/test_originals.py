"""Reading events back by position, wherever in a long log they stand."""

from itertools import islice
from typing import Any

import pytest

from gateway.flows.originals import originals_of
from kith.event.v1 import event_pb2, event_service_pb2

LOGGED = 1_000_000


class Log:
    """A log with an event at each position but some, in pages of at most so many."""

    def __init__(self, *missing: int, most: int = 1000) -> None:
        self._missing = set(missing)
        self._most = most
        self.sizes: list[int] = []

    async def page(
        self, request: event_service_pb2.ListEventsRequest
    ) -> event_service_pb2.ListEventsResponse:
        behind = range(request.after_position + 1, LOGGED + 1)
        present = (position for position in behind if position not in self._missing)
        there = list(islice(present, min(request.page_size, self._most)))
        self.sizes.append(len(there))
        events = [event_pb2.Event(position=position) for position in there]
        return event_service_pb2.ListEventsResponse(events=events)


async def found(log: Any, positions: list[int]) -> list[int]:
    events = await originals_of(log, positions)
    assert all(event.position == position for position, event in events.items())
    return sorted(events)


async def test_what_stands_far_apart_is_read_without_what_lies_between():
    log = Log()
    positions = list(range(1, LOGGED, 1000))

    assert await found(log, positions) == positions
    assert sum(log.sizes) == len(positions)


async def test_what_stands_together_is_read_in_pages():
    log = Log()
    positions = list(range(500_000, 502_500, 2))

    assert await found(log, positions) == positions
    assert len(log.sizes) == 3


@pytest.mark.parametrize("most", [1, 7, 1000])
async def test_short_pages_and_gaps_lose_nothing(most: int):
    log = Log(41, 45, most=most)

    assert await found(log, [0, 40, 41, 43, 44, 45, 46, 70, 71]) == [40, 43, 44, 46, 70, 71]
