"""What looked wrong waits here to be looked at again: a live write is over by then."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from knowledge_svc.domain.integrity import Finding

Suspect = TypeVar("Suspect")

_TOGETHER = 500


class SecondLook(Generic[Suspect]):
    """Suspects in order of their first look, at most so many of them."""

    def __init__(
        self,
        look: Callable[[Sequence[Suspect]], Awaitable[Sequence[Finding]]],
        *,
        seconds: float,
        most: int,
    ) -> None:
        self._look = look
        self._seconds = seconds
        self._most = most
        self._waiting: deque[tuple[float, Suspect]] = deque()

    def add(self, suspects: Sequence[Suspect]) -> None:
        """Have these looked at again when it is time."""
        ripe_at = asyncio.get_running_loop().time() + self._seconds
        self._waiting.extend((ripe_at, suspect) for suspect in suspects)

    async def ripe(self) -> AsyncGenerator[Finding, None]:
        """What is found of those whose time has come, or which are too many to wait."""
        clock = asyncio.get_running_loop()
        while self._waiting:
            ripe_at, _ = self._waiting[0]
            if ripe_at > clock.time() and len(self._waiting) <= self._most:
                return
            for finding in await self._next():
                yield finding

    async def rest(self) -> AsyncGenerator[Finding, None]:
        """What is found of all that are left."""
        while self._waiting:
            for finding in await self._next():
                yield finding

    async def _next(self) -> Sequence[Finding]:
        clock = asyncio.get_running_loop()
        await asyncio.sleep(max(self._waiting[0][0] - clock.time(), 0))
        some: list[Suspect] = []
        while self._waiting and self._waiting[0][0] <= clock.time() and len(some) < _TOGETHER:
            some.append(self._waiting.popleft()[1])
        return await self._look(some)
