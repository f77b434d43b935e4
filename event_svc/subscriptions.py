"""Subscriptions: history, then what is new, every event once and in order."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from prometheus_client import Counter, Gauge

from event_svc.domain.log import Event, EventFilter
from event_svc.domain.subscriptions import (
    MOST_EVENTS,
    Delivery,
    Entry,
    From,
    LogBounds,
    Mark,
    PositionExpired,
    Stopping,
    Stretch,
    deliveries,
    first_place,
)
from event_svc.fan_out import Seat
from event_svc.log_reader import LogReader, outlast
from event_svc.ports.subscriptions import LogHistory
from svckit.batcher import Batcher

HEARTBEAT_SECONDS = 15.0
# Readers of history at once; the rest of the store's connections are for others.
MOST_HISTORY_READERS = 4
# How many events of history a subscriber gets at a time: fewer if it takes longer than this to
# take them in, so that those who are slow do not each hold a whole page.
FEWEST_EVENTS = 16
SLOW_SECONDS = 0.5
# The log counts as looked at if it was within so many seconds.
FRESH_SECONDS = 3.0
RECHECK_SECONDS = 0.25

SUBSCRIBERS = Gauge("kith_event_subscribers", "Subscriptions, by what they read.", ["reading"])
DELIVERED = Counter("kith_event_delivered_total", "Events delivered to subscribers.")
FALLEN = Counter("kith_event_subscribers_fallen_total", "Times that a subscriber was too slow.")


class Subscriptions:
    """Everybody who follows the log.

    A subscription reads history by itself until it reaches what the reader has at hand, and
    follows that; if it falls too far behind, it reads history again.
    """

    def __init__(
        self, history: LogHistory, reader: LogReader, show: Callable[[Event], bytes],
        *, heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:  # fmt: skip
        self._history = history
        self._reader = reader
        self._show = show
        self._heartbeat = heartbeat
        self._seats: set[Seat] = set()
        self._turns = asyncio.Semaphore(MOST_HISTORY_READERS)
        self._bounds: Batcher[None, LogBounds] = Batcher("event.bounds", self._find_bounds)
        self._is_stopping = False
        SUBSCRIBERS.labels("live").set_function(lambda: sum(seat.is_live for seat in self._seats))
        SUBSCRIBERS.labels("history").set_function(
            lambda: sum(not seat.is_live for seat in self._seats)
        )

    async def follow(self, chosen: EventFilter, start: From | int) -> AsyncGenerator[Delivery]:
        """Deliver what a filter chooses, for ever; raises what ends it.

        That is PositionExpired, BeyondTheLog, Stopping, or Unavailable after an outage of the
        store that lasted.
        """
        clock = asyncio.get_running_loop().time
        bounds = await self._bounds.submit(None)
        seat = Seat(chosen, first_place(start, bounds))
        # What was there when the subscription began; with that delivered it has caught up.
        target = bounds.head_position
        seat.is_at_end = is_caught_up = seat.place == target
        seat.is_at_beginning = start is From.BEGINNING and not is_caught_up
        self._seats.add(seat)
        try:
            if is_caught_up:
                yield Delivery(Mark.CAUGHT_UP, target)
            while True:
                due = clock() + self._heartbeat
                entries, position = await self._next(seat, target, due)
                seat.is_at_beginning = False
                for delivery in deliveries(entries, position):
                    yield delivery
                    seat.place = delivery.position
                    DELIVERED.inc(len(delivery.shown))
                seat.place = position
                if not is_caught_up and position >= target:
                    yield Delivery(Mark.CAUGHT_UP, position)
                    is_caught_up = True
                elif not entries:
                    yield Delivery(Mark.HEARTBEAT, position)
        finally:
            self._seats.discard(seat)
            self._reader.leave(seat)

    def end(self) -> None:
        """End every subscription, and begin none any more."""
        self._is_stopping = True
        for seat in self._seats:
            seat.fail(Stopping())

    async def drain(self) -> None:
        """Stop what works in the background."""
        await self._reader.drain()
        await self._bounds.close()

    async def _next(self, seat: Seat, target: int, due: float) -> tuple[Sequence[Entry], int]:
        """What comes next for a seat, and how far it has come with that.

        Without any event only when a heartbeat is due, or the target is reached.
        """
        clock = asyncio.get_running_loop().time
        while True:
            if self._is_stopping:
                raise Stopping
            if seat.failure is not None:
                raise seat.failure
            if not seat.is_live and not self._join(seat, target):
                entries, position = await self._read_history(seat)
            elif (taken := self._reader.take(seat)) is not None:
                entries, position = taken
            else:
                FALLEN.inc()
                self._reader.leave(seat)
                continue
            is_fresh = not seat.is_live or clock() - self._reader.looked_at < FRESH_SECONDS
            is_due = clock() >= due and is_fresh
            if entries or seat.place < target <= position or is_due:
                return entries, position
            seat.place = position
            if seat.is_live:
                await seat.wait(due if clock() < due else clock() + RECHECK_SECONDS)

    def _join(self, seat: Seat, target: int) -> bool:
        """Have a seat follow the reader, if what comes next for it is at hand."""
        is_at_end, seat.is_at_end = seat.is_at_end, False
        if is_at_end or self._reader.covers(seat.place, target):
            return self._reader.join(seat)
        return False

    async def _read_history(self, seat: Seat) -> tuple[Sequence[Entry], int]:
        clock = asyncio.get_running_loop().time
        if clock() - seat.read_at < SLOW_SECONDS:
            seat.page_size = min(seat.page_size * 4, MOST_EVENTS)
        else:
            seat.page_size = max(seat.page_size // 4, FEWEST_EVENTS)

        async def read() -> Stretch:
            if seat.failure is not None:
                raise seat.failure
            async with self._turns:
                return await self._history.read(seat.chosen, after=seat.place, limit=seat.page_size)

        try:
            stretch = await outlast(read)
        except PositionExpired as expired:
            if not seat.is_at_beginning:
                raise
            return [], expired.first_position
        seat.read_at = clock()
        seat.is_at_end = stretch.at_end
        entries = [Entry.of(event, self._show(event)) for event in stretch.events]
        return entries, stretch.scanned_position

    async def _find_bounds(self, waiting: Sequence[None]) -> Sequence[LogBounds]:
        return [await self._history.bounds()] * len(waiting)
