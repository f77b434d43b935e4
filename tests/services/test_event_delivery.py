"""Every committed event once and in order, whatever writers, cuts and the database do."""

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import grpc
import orjson
import pytest

from event_svc import fan_out, tail
from event_svc.__main__ import assemble
from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb
from svckit import ids, serve, stores
from svckit.addresses import Bind
from svckit.listener import NoNotices
from tests.support.cluster import administrator
from tests.support.events import Stub, a_message, an_event, be_impatient, event_service, log_one
from tests.support.refusals import refusal_of
from tests.support.services import channel_to, running, store_of
from tests.support.subscribers import Following, Receipt, Stream, Subscriber, judge, the_log
from tests.support.switch import Switch, switch

__all__ = ["switch"]

ADA, BOB = ids.new(), ids.new()


@asynccontextmanager
async def replicas(database, count: int):
    """Several instances of the service over one database."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(event_service(database)) for _ in range(count)]


async def write(events: Stub, rounds: int, seed: int) -> None:
    """Log requests of different sizes, one after another."""
    chooser = random.Random(seed)
    for _ in range(rounds):
        messages = [
            a_message(person_id=chooser.choice((ADA, BOB)))
            for _ in range(chooser.choice((1, 1, 2, 40)))
        ]
        await events.LogEvents(pb.LogEventsRequest(events=messages))


async def cut_at_random(subscribers: list[Subscriber], seed: int) -> None:
    chooser = random.Random(seed)
    while True:
        await asyncio.sleep(chooser.uniform(0, 0.03))
        chooser.choice(subscribers).cut()


async def assert_each_saw_the_log(database, subscribers: list[Subscriber], where: str = "true"):
    async with administrator(database) as admin:
        log = await the_log(admin, where)
    assert log
    for subscriber in subscribers:
        score = judge(subscriber.received, log)
        assert score.is_perfect, str(score)


async def head_of(database) -> int:
    async with administrator(database) as admin:
        return int(await admin.fetchval("SELECT position FROM event.log_head"))


def test_the_judge_tells_what_is_wrong():
    log = [Receipt(position, str(position)) for position in (1, 2, 4, 5)]
    one, two, four, five = log

    assert judge(log, log).is_perfect
    assert judge([one, two, four], log).lost == 1
    assert judge([one, two, five], log).skipped == 1
    assert judge([one, two, two, four, five], log).duplicated == 1
    assert judge([one, four, two, five], log).out_of_order == 1
    assert judge([*log, Receipt(6, "6")], log).invented == 1
    assert not any(
        judge(received, log).is_perfect
        for received in ([], log[:3], log[1:], [*log, five], log[::-1], [*log, Receipt(6, "6")])
    )


async def test_subscribers_that_are_cut_and_resumed_see_the_log_of_many_writers(database):
    chooser = random.Random(7)
    async with replicas(database, 3) as services:

        def any_service() -> Stub:
            return chooser.choice(services)

        await write(services[0], 20, seed=1)
        everything = [Subscriber(any_service) for _ in range(4)]
        adas = [Subscriber(any_service, event_pb2.EventFilter(subject_ids=[ADA])) for _ in range(4)]
        async with Following(*everything, *adas) as following:
            cutter = asyncio.create_task(cut_at_random(everything + adas, seed=3))
            await asyncio.gather(*(write(services[seed % 3], 15, seed) for seed in range(12)))
            cutter.cancel()
            await following.reached(await head_of(database))

    assert sum(subscriber.cuts for subscriber in everything + adas) > 10
    await assert_each_saw_the_log(database, everything)
    await assert_each_saw_the_log(database, adas, f"subject_id = '{ADA}'")


async def test_subscribers_that_fall_behind_again_and_again_miss_nothing(database, monkeypatch):
    # So little is at hand that whoever is not at once there has to read for itself.
    monkeypatch.setattr(fan_out, "MOST_PENDING", 5)
    monkeypatch.setattr(
        tail.Tail.__init__, "__kwdefaults__", {"most_events": 8, "most_bytes": 1 << 20}
    )
    async with replicas(database, 2) as services:
        subscribers = [Subscriber(lambda n=n: services[n % 2], pace=n * 0.01) for n in range(5)]
        async with Following(*subscribers) as following:
            await asyncio.gather(*(write(services[seed % 2], 20, seed) for seed in range(6)))
            await following.reached(await head_of(database))

    await assert_each_saw_the_log(database, subscribers)


async def test_what_takes_long_to_commit_is_never_passed_over(database):
    async with (
        event_service(database) as events,
        administrator(database) as slow,
        administrator(database) as admin,
    ):
        await be_impatient(admin)
        subscriber = Subscriber(lambda: events)
        async with Following(subscriber) as following:
            await write(events, 5, seed=1)
            transaction = slow.transaction()
            await transaction.start()
            rows = [
                {**event.body, "event_id": event.event_id, "body_hash": event.body_hash}
                for event in (an_event(), an_event())
            ]
            await slow.execute("SELECT event.append_events($1)", orjson.dumps([rows]).decode())
            refusals = await asyncio.gather(*(refusal_of(log_one(events)) for _ in range(3)))
            before = await head_of(database)
            await transaction.commit()
            await write(events, 5, seed=2)
            await following.reached(await head_of(database))

    assert {refusal.reason for refusal in refusals} == {"STORE_UNAVAILABLE"}
    assert before < len(subscriber.received)
    await assert_each_saw_the_log(database, [subscriber])


async def test_without_any_notification_it_takes_longer_and_nothing_is_lost(database, monkeypatch):
    class Silence(NoNotices):
        def __init__(self, *_: Any, **__: Any) -> None:
            """Listens to nothing."""

        async def close(self) -> None:
            """Nothing to end."""

    monkeypatch.setattr(stores, "PostgresNotices", Silence)
    async with replicas(database, 2) as services:
        subscribers = [Subscriber(lambda n=n: services[n]) for n in range(2)]
        async with Following(*subscribers) as following:
            await asyncio.gather(*(write(services[0], 15, seed) for seed in range(4)))
            await following.reached(await head_of(database), seconds=3)

    await assert_each_saw_the_log(database, subscribers)


async def test_connections_that_are_cut_lose_nothing(database):
    async with replicas(database, 2) as services, administrator(database) as admin:

        async def write_on(events: Stub, seed: int) -> None:
            for turn in range(10):
                try:
                    await write(events, 1, seed * 100 + turn)
                except grpc.aio.AioRpcError as error:
                    assert error.code() is grpc.StatusCode.UNAVAILABLE

        subscribers = [Subscriber(lambda n=n: services[n % 2]) for n in range(4)]
        async with Following(*subscribers) as following:
            writing = asyncio.gather(*(write_on(services[seed % 2], seed) for seed in range(6)))
            while not writing.done():
                await admin.execute(
                    """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE datname = current_database() AND pid <> pg_backend_pid()"""
                )
                await asyncio.sleep(0.05)
            await writing
            await log_one(services[0])
            await following.reached(await head_of(database))

    assert {subscriber.cuts for subscriber in subscribers} == {0}
    await assert_each_saw_the_log(database, subscribers)


async def test_a_short_outage_is_sat_out_and_heartbeats_pause(database, switch: Switch):
    quick = partial(assemble, heartbeat=0.1)
    async with running(quick, database, "event") as address, channel_to(address) as channel:
        events = Stub(channel)
        await log_one(events)
        async with Stream(events, from_now=True) as stream:
            await stream.until_caught_up()
            await switch.off()
            refusal = await refusal_of(Stream(events).next())
            await switch.on()
            async with asyncio.timeout(8):
                while True:
                    try:
                        logged = await log_one(events)
                        break
                    except grpc.aio.AioRpcError:
                        await asyncio.sleep(0.05)
            assert await stream.events(1) == [logged.position]

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")


async def test_a_long_outage_ends_subscriptions(database, switch: Switch, monkeypatch):
    monkeypatch.setattr("event_svc.log_reader.OUTAGE_SECONDS", 0.3)
    async with event_service(database) as events:
        async with Stream(events, from_now=True) as stream:
            await stream.until_caught_up()
            await switch.off()
            refusal = await refusal_of(stream.next())
        await switch.on()

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")


async def test_a_service_that_stops_ends_subscriptions_at_once(database):
    async with store_of(database, "event") as store:
        service = await serve.start(assemble(store), Bind("127.0.0.1", 0))
        async with channel_to(str(service.address)) as channel:
            events = Stub(channel)
            await log_one(events)
            streams = [Stream(events, from_beginning=True) for _ in range(20)]
            for stream in streams:
                assert await stream.until_caught_up() == [1]
            async with asyncio.timeout(5):
                stopping = asyncio.create_task(service.stop())
                refusals = [await refusal_of(stream.next()) for stream in streams]
                await stopping

    assert {(refusal.code, refusal.reason) for refusal in refusals} == {
        (grpc.StatusCode.UNAVAILABLE, "STOPPING")
    }
    assert refusals[0].retry_after == pytest.approx(0.1)
