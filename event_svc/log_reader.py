"""The one reader of the log in a process: it reads each new event once, for all subscribers."""

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from prometheus_client import Counter, Gauge

from event_svc.domain.log import BeyondTheLog, Event, EventFilter
from event_svc.domain.redaction import taken_away
from event_svc.domain.subscriptions import MOST_EVENTS, Entry, Stretch
from event_svc.fan_out import FanOut, Seat
from event_svc.ports.subscriptions import LogHistory, WakeUps
from event_svc.tail import Tail
from svckit import logs
from svckit.errors import Unavailable

log = logs.get(__name__)

T = TypeVar("T")

POLL_SECONDS = 1.0
# Where nobody wakes the reader it looks so soon again after an event, then ever less often.
QUICK_POLL_SECONDS = 0.02
# For so long a proof that wake-ups arrive counts.
PROOF_SECONDS = 30.0
# Under load: what comes meanwhile is read together, and appends get their share of the store.
BREATH_SECONDS = 0.005
OUTAGE_SECONDS = 10.0
RETRY_SECONDS = 0.25
# How many events are taken in before others get a turn on the loop.
SLICE = 100

EVERYTHING = EventFilter()

POSITION = Gauge("kith_event_reader_position", "How far the process has read the log.")
READ = Counter("kith_event_reader_events_total", "Events read once for all subscribers.")


async def outlast(call: Callable[[], Awaitable[T]]) -> T:
    """What a call to the store answers; an outage that is not too long is waited out."""
    clock = asyncio.get_running_loop().time
    given_up_at: float | None = None
    while True:
        try:
            return await call()
        except Unavailable:
            given_up_at = given_up_at or clock() + OUTAGE_SECONDS
            if clock() >= given_up_at:
                raise
            await asyncio.sleep(RETRY_SECONDS)


class LogReader:
    """Follows the log while somebody is seated, and keeps its end in memory.

    `show` makes of an event what subscribers get. `looked_at` is when the log was last read,
    by the loop's clock.
    """

    def __init__(
        self, history: LogHistory, wake_ups: WakeUps, show: Callable[[Event], bytes],
        *, poll: float = POLL_SECONDS,
    ) -> None:  # fmt: skip
        self._history = history
        self._wake_ups = wake_ups
        self._show = show
        self._poll = poll
        self._tail = Tail(0)
        self._fan_out = FanOut()
        self._woken = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self.looked_at = float("-inf")
        wake_ups.on_notice(lambda _: self._woken.set())
        wake_ups.on_lost(self._woken.set)

    @property
    def end(self) -> int:
        """Up to where the log has been read."""
        return self._tail.end

    def covers(self, first: int, last: int) -> bool:
        """Whether everything after `first` is at hand, and up to `last` already."""
        return self._worker is not None and self._tail.start <= first and last <= self._tail.end

    def join(self, seat: Seat) -> bool:
        """Offer a seat everything after its place; False where that is more than is at hand, or
        more than a seat may have to fetch.
        """
        seat.has_fallen = False
        if self._worker is None:
            self._tail = Tail(seat.place)
            # In a context of its own: it works for all, not for who came first.
            self._worker = asyncio.create_task(
                self._work(), name="log reader", context=contextvars.Context()
            )
        elif seat.place < self._tail.start:
            return False
        for entry in self._tail.after(seat.place):
            seat.offer(entry)
        if seat.has_fallen:
            return False
        self._fan_out.add(seat)
        seat.is_live = True
        return True

    def leave(self, seat: Seat) -> None:
        """Offer a seat nothing any more; one that has not joined is fine."""
        seat.is_live = False
        seat.pending.clear()
        self._fan_out.discard(seat)
        if not self._fan_out:
            self._woken.set()

    def take(self, seat: Seat) -> tuple[list[Entry], int] | None:
        """What a seat is to be given next, and how far it has come with that.

        None if some of it had to make room: the seat has fallen behind.
        """
        taken: list[Entry] = []
        while seat.pending and len(taken) < MOST_EVENTS:
            entry = self._tail.get(seat.pending.popleft())
            if entry is None:
                seat.fall()
                break
            taken.append(entry)
        if seat.has_fallen:
            return None
        if seat.pending:
            return taken, taken[-1].position
        return taken, max(seat.place, self._tail.end)

    async def drain(self) -> None:
        """Stop reading."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker

    async def _work(self) -> None:
        try:
            await self._follow()
        except (BeyondTheLog, Unavailable) as error:
            # The log may end before where it was read to: a backup was restored under our feet.
            # Whoever resumes beyond its end is told so.
            log.warning("the log cannot be followed", why=str(error))
            self._fail()
        except Exception:
            log.exception("the reader of the log failed")
            self._fail()
        finally:
            self._worker = None

    async def _follow(self) -> None:
        clock = asyncio.get_running_loop().time
        pause = QUICK_POLL_SECONDS
        while self._fan_out:
            self._woken.clear()
            stretch = await outlast(self._read)
            self.looked_at = clock()
            await self._publish(stretch)
            if not stretch.at_end:
                continue
            is_proved = time.monotonic() - self._wake_ups.proved_at < PROOF_SECONDS
            if stretch.events:
                pause = QUICK_POLL_SECONDS
                await asyncio.sleep(BREATH_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll if is_proved else min(pause, self._poll)):
                    await self._woken.wait()
            pause = min(pause * 2, self._poll)

    def _fail(self) -> None:
        for seat in list(self._fan_out):
            # An error for each: one would grow with every place that raises it.
            seat.fail(Unavailable("the log cannot be read"))
            self.leave(seat)

    async def _read(self) -> Stretch:
        return await self._history.read(EVERYTHING, after=self._tail.end, limit=MOST_EVENTS)

    async def _publish(self, stretch: Stretch) -> None:
        for number, event in enumerate(stretch.events, start=1):
            entry = Entry.of(event, self._show(event))
            self._tail.append(entry)
            self._fan_out.offer(entry)
            if number % SLICE == 0:
                await asyncio.sleep(0)
        self._tail.end = stretch.scanned_position
        # Whoever still needs these reads what the log has left of them.
        if taken := taken_away(stretch.events):
            self._tail.forget(taken)
        READ.inc(len(stretch.events))
        POSITION.set(stretch.scanned_position)
