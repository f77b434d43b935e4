"""Tries a vendor's calls again while that may help, and leaves it alone when it asks for that."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from knowledge_svc import metrics
from knowledge_svc.domain.backends import Refused
from svckit import logs
from svckit.errors import Unavailable

T = TypeVar("T")

log = logs.get(__name__)

_FIRST_DELAY, _LONGEST_DELAY = 0.25, 2.0
# A vendor may ask for a pause of any length; after this it is asked again.
_LONGEST_PAUSE = 60.0
# For so long after all tries of a call failed, others fail at once: searches then go by words
# alone without waiting for what is not there.
_SHUT_SECONDS = 1.0


class Passing(Unavailable):
    """A failure that may be over in a moment; `pause` is what the vendor asked for, in seconds."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message, retry_after=max(pause or 0.0, 1.0))
        self.pause = pause


class Patience:
    """The patience of one client with one vendor.

    A call takes at most `seconds`, tries and pauses included, so that whoever holds a
    lease keeps it. A pause that is longer than a call may wait closes the door for its
    length: the calls of that time fail at once, and the vendor is not asked. So it is for a
    moment after a call has failed for good.
    """

    def __init__(self, vendor: str, *, seconds: float, tries: int = 3) -> None:
        self._vendor = vendor
        self._seconds = seconds
        self._tries = tries
        self._asked_until = 0.0
        self._shut_until = 0.0

    async def call(self, name: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` answers; it raises Passing for what may be tried again.

        Raises Unavailable where that does not help, and what else `attempt` raises.
        """
        await self._pause()
        async with self.within(self._seconds):
            return await self._tried(name, attempt)

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """A bound for several calls together; past it they are Unavailable."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            self._shut()
            raise Unavailable(f"{self._vendor} does not answer in time") from error

    def _shut(self) -> None:
        self._shut_until = asyncio.get_running_loop().time() + _SHUT_SECONDS

    async def _pause(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._shut_until:
            raise Unavailable(f"{self._vendor} could not be reached a moment ago")
        remaining = self._asked_until - now
        if remaining > _LONGEST_DELAY:
            raise Passing(f"{self._vendor} has asked for a pause", remaining)
        if remaining > 0:
            await asyncio.sleep(remaining * random.uniform(1.0, 1.5))

    async def _tried(self, name: str, attempt: Callable[[], Awaitable[T]]) -> T:
        delay = _FIRST_DELAY
        for remaining in reversed(range(self._tries)):
            try:
                return await self._measured(name, attempt)
            except Passing as error:
                if error.pause:
                    pause = min(error.pause, _LONGEST_PAUSE)
                    self._asked_until = asyncio.get_running_loop().time() + pause
                wait = error.pause or delay * random.uniform(0.5, 1.5)
                if not remaining:
                    self._shut()
                if not remaining or wait > _LONGEST_DELAY:
                    raise
                await asyncio.sleep(wait)
                delay = min(3 * delay, _LONGEST_DELAY)
        raise AssertionError("unreachable")

    async def _measured(self, name: str, attempt: Callable[[], Awaitable[T]]) -> T:
        outcome = "cut off"
        started = asyncio.get_running_loop().time()
        try:
            answer = await attempt()
            outcome = "ok"
            return answer
        except Unavailable as error:
            outcome = "throttled" if getattr(error, "pause", None) else "unavailable"
            cause = error.__cause__
            # The vendor's own words are for the log alone.
            log.warning("a backend fails", backend=self._vendor, call=name, why=error.message,
                        said=str(cause)[:500] if cause else None)  # fmt: skip
            raise
        except Refused:
            outcome = "refused"
            raise
        finally:
            seconds = asyncio.get_running_loop().time() - started
            metrics.BACKEND_SECONDS.labels(self._vendor, name, outcome).observe(seconds)
