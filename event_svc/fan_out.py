"""Who is to be given an event: subscribers by what their filters choose."""

import asyncio
from collections import deque
from collections.abc import Hashable, Iterator

from event_svc.domain.log import EventFilter
from event_svc.domain.subscriptions import Choice, Entry, routes_of

# Further behind than this, a subscriber reads for itself. Half of what the tail holds.
MOST_PENDING = 4096
# Of history: small, until the subscriber has shown that it is quick.
FIRST_PAGE = 64


class Seat:
    """One subscription: which events, how far it has come, and what it has still to be given.

    `place`: everything up to it has been looked at and delivered; `is_at_end` if that was the
    log's end when it was read; `is_live` while it is offered what the reader reads.
    What is pending is known by position alone, so a subscriber that does not come to fetch it
    keeps nothing in memory but numbers.
    """

    def __init__(self, chosen: EventFilter, place: int) -> None:
        self.chosen = chosen
        self.choice = Choice(chosen)
        self.place = place
        self.is_at_end = False
        # Of the log, wherever that is by now: nothing was told yet.
        self.is_at_beginning = False
        self.is_live = False
        self.has_fallen = False
        self.pending: deque[int] = deque()
        self.page_size = FIRST_PAGE
        self.read_at = float("inf")
        self.failure: Exception | None = None
        self._called = asyncio.Event()

    def offer(self, entry: Entry) -> None:
        """Put an event on the list if it is chosen."""
        if entry.position <= self.place or self.has_fallen or entry not in self.choice:
            return
        if len(self.pending) >= MOST_PENDING:
            self.fall()
        else:
            self.pending.append(entry.position)
        self._called.set()

    def fall(self) -> None:
        """Give up on the list: the subscription has to read the log by itself."""
        self.has_fallen = True
        self.pending.clear()

    def fail(self, error: Exception) -> None:
        """End the subscription."""
        self.failure = error
        self._called.set()

    async def wait(self, until: float) -> None:
        """Return when something was offered, or the loop's clock says so; raises the failure."""
        self._called.clear()
        if self.failure is None:
            try:
                async with asyncio.timeout_at(until):
                    await self._called.wait()
            except TimeoutError:
                pass
        if self.failure is not None:
            raise self.failure


class FanOut:
    """The seats that follow the tail.

    Each is found by its filter's narrowest field, so an event costs as much as there are
    subscribers who ask for its subject, conversation or group, or, without those, its type
    or platform; not as much as there are subscribers.
    """

    def __init__(self) -> None:
        self._seats: dict[Hashable, set[Seat]] = {}
        self._all: set[Seat] = set()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Seat]:
        return iter(self._all)

    def add(self, seat: Seat) -> None:
        """Offer the seat what comes from now on."""
        self._all.add(seat)
        for route in seat.choice.routes():
            self._seats.setdefault(route, set()).add(seat)

    def discard(self, seat: Seat) -> None:
        """Offer the seat nothing any more; one that is not there is fine."""
        if seat not in self._all:
            return
        self._all.remove(seat)
        for route in seat.choice.routes():
            self._seats[route].discard(seat)
            if not self._seats[route]:
                del self._seats[route]

    def offer(self, entry: Entry) -> None:
        """Offer an event to those who may want it."""
        for route in routes_of(entry):
            for seat in self._seats.get(route, ()):
                seat.offer(entry)
