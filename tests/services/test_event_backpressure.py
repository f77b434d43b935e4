"""What many subscribers, and slow ones, cost the process and one another."""

import asyncio
from collections import Counter
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from event_svc import fan_out, tail
from event_svc.__main__ import assemble
from event_svc.adapters.sql_log import SqlEventStore
from event_svc.adapters.sql_subscriptions import SqlLogHistory
from event_svc.domain.log import EventFilter
from event_svc.domain.subscriptions import From, Mark
from event_svc.log_reader import LogReader
from event_svc.subscriptions import Subscriptions
from event_svc.wire.subscriptions import shown
from svckit import ids
from svckit.sql import SqlFunctions
from svckit.stores import Store
from tests.support.events import Stub, an_event, log_one, logged
from tests.support.services import channel_to, running, store_of
from tests.support.subscribers import Stream


@dataclass
class Counting:
    """Functions, with how often each was called."""

    functions: SqlFunctions
    calls: Counter[str]

    async def call(self, function: str, /, **arguments: Any) -> Any:
        self.calls[function] += 1
        return await self.functions.call(function, **arguments)


@dataclass
class Parts:
    """The parts of the service that a test looks into."""

    store: SqlEventStore
    reader: LogReader
    followers: Subscriptions


@asynccontextmanager
async def assembled(database):
    async with store_of(database, "event") as store:
        history, wake_ups = SqlLogHistory(store.functions), store.listen("kith_event_log")
        reader = LogReader(history, wake_ups, shown)
        parts = Parts(SqlEventStore(store.functions), reader, Subscriptions(history, reader, shown))
        try:
            yield parts
        finally:
            await parts.followers.drain()


async def test_what_is_new_is_read_once_for_all_subscribers(database):
    calls: Counter[str] = Counter()

    def counted(store: Store):
        return assemble(Store(Counting(store.functions, calls), store.prepare))

    subjects = [ids.new() for _ in range(200)]
    async with running(counted, database, "event") as address, channel_to(address) as channel:
        events = Stub(channel)
        streams = [Stream(events, filter={"subject_ids": [subject]}) for subject in subjects]
        await asyncio.gather(*(stream.until_caught_up() for stream in streams))
        connected = Counter(calls)
        for subject in subjects[:20]:
            await log_one(events, person_id=subject)
        delivered = [await stream.events(1) for stream in streams[:20]]

    assert delivered == [[position] for position in range(1, 21)]
    assert connected["log_bounds"] < len(subjects)
    assert connected["read_log"] < 5
    # One for each event at most, and now and then one for nothing.
    assert calls["read_log"] - connected["read_log"] < 40


async def test_a_slow_subscriber_holds_up_nobody_and_keeps_nothing(database, monkeypatch):
    monkeypatch.setattr(fan_out, "MOST_PENDING", 400)
    kept = {"most_events": 500, "most_bytes": 1 << 20}
    monkeypatch.setattr(tail.Tail.__init__, "__kwdefaults__", kept)
    content = {"text": "x" * 2000}
    async with assembled(database) as parts:
        slow = parts.followers.follow(EventFilter(), From.BEGINNING)
        quick = parts.followers.follow(EventFilter(), From.NOW)
        async with aclosing(slow), aclosing(quick):
            assert (await anext(slow)).mark is Mark.CAUGHT_UP
            assert (await anext(quick)).mark is Mark.CAUGHT_UP
            await logged(parts.store, an_event())
            assert (await anext(slow)).position == 1
            position = 0
            for _ in range(6):
                places = await logged(parts.store, *(an_event(content=content) for _ in range(300)))
                async with asyncio.timeout(10):
                    while position < places[-1].position:
                        position = (await anext(quick)).position
            [seat] = [seat for seat in parts.followers._seats if seat.has_fallen]
            held = len(parts.reader._tail), parts.reader._tail._bytes, len(seat.pending)
            seen = 1
            async with asyncio.timeout(10):
                while seen < position:
                    delivery = await anext(slow)
                    seen += len(delivery.shown)
                    assert delivery.position >= seen

    assert held[0] <= 500 and held[1] <= 1 << 20
    assert held[2] == 0
    assert seen == position == 1801


async def test_what_had_to_make_room_is_read_from_the_log(database, monkeypatch):
    kept = {"most_events": 20, "most_bytes": 1 << 20}
    monkeypatch.setattr(tail.Tail.__init__, "__kwdefaults__", kept)
    ada = ids.new()
    async with assembled(database) as parts:
        follower = parts.followers.follow(EventFilter(subject_ids=[ada]), From.NOW)
        async with aclosing(follower), asyncio.timeout(10):
            assert (await anext(follower)).mark is Mark.CAUGHT_UP
            [first] = await logged(parts.store, an_event(person_id=ada))
            assert (await anext(follower)).position == first.position
            places = await logged(
                parts.store, an_event(person_id=ada), *(an_event() for _ in range(60))
            )
            while parts.reader.end < places[-1].position:
                await asyncio.sleep(0.01)
            [seat] = parts.followers._seats
            pending = list(seat.pending)
            delivery = await anext(follower)

    assert pending == [places[0].position]
    assert len(delivery.shown) == 1
    assert delivery.position >= places[0].position


async def test_a_subscriber_that_takes_its_time_gets_small_pages(database, monkeypatch):
    async with assembled(database) as parts:
        for _ in range(4):
            await logged(parts.store, *(an_event() for _ in range(500)))
        async with aclosing(parts.followers.follow(EventFilter(), From.BEGINNING)) as quick:
            eager = [len((await anext(quick)).shown) for _ in range(3)]
        monkeypatch.setattr("event_svc.subscriptions.SLOW_SECONDS", 0)
        async with aclosing(parts.followers.follow(EventFilter(), From.BEGINNING)) as slow:
            leisurely = [len((await anext(slow)).shown) for _ in range(4)]

    assert eager == [256, 1000, 744]
    assert leisurely == [256, 64, 16, 16]


async def test_large_events_come_in_answers_that_every_client_takes_in(database):
    content = {"text": "x" * 200_000}
    async with assembled(database) as parts:
        await logged(parts.store, *(an_event(content=content) for _ in range(12)))
        async with aclosing(parts.followers.follow(EventFilter(), From.BEGINNING)) as stream:
            sizes: list[int] = []
            while (delivery := await anext(stream)).mark is Mark.EVENTS:
                sizes += [sum(map(len, delivery.shown))]
            await logged(parts.store, *(an_event(content=content) for _ in range(12)))
            live = await anext(stream)

    assert len(sizes) >= 3
    assert max(*sizes, sum(map(len, live.shown))) <= 1 << 20


@pytest.mark.parametrize("is_reading", [True, False])
async def test_who_is_gone_is_forgotten(database, is_reading, monkeypatch):
    """Also where an answer is under way that nobody takes."""
    found: list[Subscriptions] = []

    class Seen(Subscriptions):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            found.append(self)

    monkeypatch.setattr("event_svc.__main__.Subscriptions", Seen)
    async with running(assemble, database, "event") as address, channel_to(address) as channel:
        events = Stub(channel)
        for _ in range(20):
            await log_one(events, content={"text": "x" * 200_000})
        async with Stream(events, from_beginning=True) as stream:
            await stream.next()
            if is_reading:
                await stream.until_caught_up()
            assert len(found[0]._seats) == 1
        async with asyncio.timeout(5):
            while found[0]._seats or found[0]._reader._worker:
                await asyncio.sleep(0.01)
