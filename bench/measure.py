"""Closed-loop measurement: so many callers, each calling again as soon as it is answered."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
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
