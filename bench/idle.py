"""What a message takes in an idle system."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator

import httpx

from bench.measure import Figures, figures
from tests.support.up import RunningKith

RATIOS = ()


async def rows(running: RunningKith) -> AsyncIterator[tuple[str, Figures]]:
    """One message now and then."""
    yield "POST /v1/messages, idle, 1 at a time", await idle_message(running.gateway)


async def idle_message(gateway: str, count: int = 200) -> Figures:
    """One message at a time with pauses between, as an idle system sees them."""
    numbers = itertools.count()
    run = uuid.uuid4().hex[:8]

    async with httpx.AsyncClient(base_url=gateway, trust_env=False) as client:

        async def send() -> None:
            body = {
                "platform": "web",
                "sender_id": "idle",
                "message_id": f"{run}-{next(numbers)}",
                "text": "One message now and then, about a quiet harbour.",
            }
            (await client.post("/v1/messages", json=body)).raise_for_status()

        latencies = []
        for _ in range(count):
            before = asyncio.get_running_loop().time()
            await send()
            latencies.append(asyncio.get_running_loop().time() - before)
            await asyncio.sleep(0.01)
    return figures(latencies, sum(latencies))
