"""The log under load, its service and its database killed again and again: `make soak`."""

import asyncio
import random
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest

from kith.event.v1 import event_pb2
from kith.event.v1.event_service_pb2_grpc import EventServiceStub
from tests.support.log_writers import Journal, Writers
from tests.support.subscribers import Following, Score, Subscriber, judge, the_log
from tests.support.up import RunningKith, kith_up

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

KILLS = 20
WRITERS_OF_EACH_KIND = 3
SUBSCRIBERS = 6
LOAD_BETWEEN_KILLS = 300


async def test_the_log_loses_doubles_and_skips_nothing(tmp_path: Path):
    journal = Journal()
    with kith_up(tmp_path / "home", {"KITH_LOG_LEVEL": "warning"}) as kith:
        async with grpc.aio.insecure_channel(kith.address("event")) as channel:
            stub = EventServiceStub(channel)
            writers = Writers(lambda: stub, journal)
            followers = [Subscriber(lambda: stub) for _ in range(SUBSCRIBERS)]
            async with Following(*followers):
                writing = asyncio.create_task(writers.run(WRITERS_OF_EACH_KIND))
                followers += await on_subjects(writers, stub)
                async with Following(*followers[SUBSCRIBERS:]):
                    await kill_again_and_again(kith, journal, followers)
                    writers.stop.set()
                    await writing
                    log = await read_log(kith)
                    async with asyncio.timeout(120):
                        await asyncio.gather(*(one.reached(log[-1].position) for one in followers))

    scores = [judge(one.received, log) for one in followers[:SUBSCRIBERS]]
    report(journal, log, scores, sum(one.cuts for one in followers))
    assert journal.moved == 0
    assert {receipt.event_id: receipt.position for receipt in log}.items() >= (
        journal.acknowledged.items()
    )
    assert len({receipt.event_id for receipt in log}) == len(log)
    assert all(score.is_perfect for score in scores)


async def on_subjects(writers: Writers, stub: Any) -> list[Subscriber]:
    """Followers of one subject each."""
    while not writers.subjects:
        await asyncio.sleep(0)
    return [
        Subscriber(lambda: stub, event_pb2.EventFilter(subject_ids=[subject]))
        for subject in writers.subjects[:SUBSCRIBERS]
    ]


async def kill_again_and_again(
    kith: RunningKith, journal: Journal, followers: list[Subscriber]
) -> None:
    """Kill the service and Postgres in turn; cut subscribers at random in between."""
    chooser = random.Random(11)
    for number in range(KILLS):
        await load(journal)
        chooser.choice(followers).cut()
        name = ("event", "postgres")[number % 2]
        old = kith.kill(name)
        async with asyncio.timeout(60):
            while kith.pid(name) in {0, old}:
                await asyncio.sleep(0.02)
    await load(journal)


async def load(journal: Journal) -> None:
    """Return when so many more events are acknowledged."""
    wanted = len(journal.acknowledged) + LOAD_BETWEEN_KILLS
    async with asyncio.timeout(120):
        while len(journal.acknowledged) < wanted:
            await asyncio.sleep(0.02)


async def read_log(kith: RunningKith) -> list[Any]:
    """What the log holds, past every function."""
    connection = await asyncpg.connect(kith.addresses["database_url"])
    try:
        return await the_log(connection)
    finally:
        await connection.close()


def report(journal: Journal, log: list[Any], scores: list[Score], cuts: int) -> None:
    """The score, as a person reads it."""
    there = {receipt.event_id for receipt in log}
    lost = sum(event_id not in there for event_id in journal.acknowledged)
    print(
        f"\n{KILLS} kills, {journal.operations} operations, {journal.retries} sent again, "
        f"{len(journal.acknowledged)} events acknowledged, {len(log)} in the log, "
        f"{lost} lost, {len(log) - len(there)} duplicated, {journal.moved} moved"
        f"\n{len(scores)} subscribers, {cuts} cuts: "
        f"{sum(s.lost for s in scores)} lost, {sum(s.duplicated for s in scores)} duplicated, "
        f"{sum(s.out_of_order for s in scores)} out of order, "
        f"{sum(s.skipped for s in scores)} skipped"
    )
