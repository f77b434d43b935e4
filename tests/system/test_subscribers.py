"""Postgres and the service are killed under writers and subscribers: nothing is lost or doubled."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import grpc
import pytest

from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb
from svckit import ids
from tests.support.events import Stub, a_message
from tests.support.subscribers import Following, Receipt, Subscriber, judge, the_log
from tests.support.up import RunningKith, kith_up

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

KILLS = ("postgres", "event", "postgres", "event")
WRITERS = 8
RETRIED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


@pytest.fixture
def kith(tmp_path: Path) -> Iterator[RunningKith]:
    with kith_up(tmp_path / "home") as running:
        yield running


class Writers:
    """Log one request after another; each until it is acknowledged, always the same."""

    def __init__(self, events: Stub, person_id: str) -> None:
        self._events = events
        self._person_id = person_id
        self.acknowledged: list[Receipt] = []
        self.is_stopping = False

    async def run(self) -> None:
        await asyncio.gather(*(self._write(number) for number in range(WRITERS)))

    async def _write(self, number: int) -> None:
        person = {"person_id": self._person_id} if number % 2 else {}
        while not self.is_stopping:
            request = pb.LogEventsRequest(events=[a_message(**person) for _ in range(1 + number)])
            while True:
                try:
                    answer = await self._events.LogEvents(request, timeout=5)
                    break
                except grpc.aio.AioRpcError as error:
                    assert error.code() in RETRIED, error
                    await asyncio.sleep(0.02)
            self.acknowledged += [Receipt(e.position, e.event_id) for e in answer.events]

    async def go_on(self) -> None:
        """Return once everybody has been acknowledged something more."""
        target = len(self.acknowledged) + 20 * WRITERS
        async with asyncio.timeout(30):
            while len(self.acknowledged) < target:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def stub_of(kith: RunningKith) -> AsyncIterator[Stub]:
    """The event service, which keeps its port; tried again soon after it was away."""
    options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
    async with grpc.aio.insecure_channel(kith.address("event"), options=options) as channel:
        yield Stub(channel)


async def test_subscribers_see_exactly_the_log_whatever_is_killed(kith: RunningKith):
    ada = ids.new()
    async with stub_of(kith) as events:
        writers = Writers(events, ada)
        everything = [Subscriber(lambda: events) for _ in range(3)]
        adas = [
            Subscriber(lambda: events, event_pb2.EventFilter(subject_ids=[ada])) for _ in range(3)
        ]
        slow = Subscriber(lambda: events, pace=0.05)
        async with Following(*everything, *adas, slow) as following:
            writing = asyncio.create_task(writers.run())
            await writers.go_on()
            for name in KILLS:
                old = kith.kill(name)
                async with asyncio.timeout(30):
                    while kith.pid(name) in {0, old}:
                        await asyncio.sleep(0.01)
                everything[0].cut()
                await writers.go_on()
            writers.is_stopping = True
            await writing
            await following.reached(max(receipt.position for receipt in writers.acknowledged))

    connection = await asyncpg.connect(kith.addresses["database_url"])
    log = await the_log(connection)
    adas_log = await the_log(connection, f"subject_id = '{ada}'")
    await connection.close()
    assert set(writers.acknowledged) <= set(log)
    scores = [judge(one.received, log) for one in (*everything, slow)]
    scores += [judge(one.received, adas_log) for one in adas]
    print(*scores, sep="\n")
    assert all(score.is_perfect for score in scores), "\n".join(map(str, scores))
