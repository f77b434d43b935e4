"""Closed-loop measurement: so many callers, each calling again as soon as it is answered."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

WARM_UP = 0.15
# How many at once is measured, where it matters.
CALLERS = (1, 16, 64)


@dataclass(frozen=True)
class Figures:
    """What came of a measurement; latencies in milliseconds."""

    per_second: float
    p50: float
    p99: float

    def __str__(self) -> str:
        return f"{self.per_second:,.0f}/s"


async def closed_loop(
    call: Callable[[], Awaitable[object]], *, callers: int, seconds: float = 3.0, items: int = 1
) -> Figures:
    """Calls a second (times `items`) and latencies of `call` under so many callers."""
    latencies: list[float] = []
    start = time.perf_counter()
    measured_from = start + seconds * WARM_UP
    end = start + seconds

    async def caller() -> None:
        while (before := time.perf_counter()) < end:
            await call()
            if before >= measured_from:
                latencies.append(time.perf_counter() - before)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return figures(latencies, (end - measured_from), items)


def figures(latencies: list[float], seconds: float, items: int = 1) -> Figures:
    """Figures of latencies in seconds, measured over so many seconds."""
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else latencies * 99
    return Figures(len(latencies) * items / seconds, cuts[49] * 1000, cuts[98] * 1000)


@dataclass(frozen=True)
class Recall:
    """What share of what is nearest indeed was found, and the shortest page among the answers."""

    share: float
    least_page: int

    def __str__(self) -> str:
        return f"{self.share:.3f}, each page {self.least_page} or more"


async def in_turns(
    calls: Mapping[str, Callable[[], Awaitable[object]]], *, seconds: float, rounds: int
) -> dict[str, Figures]:
    """Figures of calls that are compared: each has its turn in each round, one caller at a time."""
    latencies: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        await call()
    for _ in range(rounds):
        for name, call in calls.items():
            end = time.perf_counter() + seconds / rounds
            while (before := time.perf_counter()) < end:
                await call()
                latencies[name].append(time.perf_counter() - before)
    return {name: figures(found, sum(found)) for name, found in latencies.items()}
