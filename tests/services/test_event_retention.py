"""RetainEvents: what goes, what stays, and who may go on meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest

from event_svc.__main__ import assemble
from event_svc.domain.retention import Day
from event_svc.retention import TRIES, Retention
from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb
from svckit import ids
from svckit.errors import Unavailable
from tests.support.cluster import WAITING, administrator
from tests.support.event_days import fill_days
from tests.support.events import Stub, event_service, follow, log_one
from tests.support.refusals import refusal_of
from tests.support.services import channel_to, running

TODAY = "(now() AT TIME ZONE 'UTC')::date"
DAYS, EACH_DAY = 20, 20
ADA = ids.new()


@pytest.fixture
async def admin(database) -> AsyncIterator[Any]:
    async with administrator(database) as connection:
        yield connection


@pytest.fixture
async def events(database, admin) -> AsyncIterator[Stub]:
    """The service over the last twenty days."""
    await fill_days(
        admin, f"{TODAY} - {DAYS - 1}", DAYS, EACH_DAY,
        subject_id=f"CASE WHEN n % 2 = 0 THEN '{ADA}'::uuid END",
    )  # fmt: skip
    async with event_service(database) as stub:
        yield stub


def ago(days: int) -> str:
    return (datetime.now(UTC).date() - timedelta(days=days)).isoformat()


def a_request(days: int = 7, **how: bool) -> pb.RetainEventsRequest:
    return pb.RetainEventsRequest(days=days, **how)


async def test_a_dry_run_tells_what_would_go_and_changes_nothing(events):
    planned = await events.RetainEvents(a_request(dry_run=True, drop_keys=True))
    before, _ = await follow(events, page_size=1000)
    done = await events.RetainEvents(a_request(drop_keys=True))
    again = await events.RetainEvents(a_request(drop_keys=True))

    assert list(planned.dropped_days) == [ago(n) for n in range(DAYS - 1, 7, -1)]
    assert (planned.dropped_events, planned.dropped_keys) == (
        (DAYS - 8) * EACH_DAY,
        (DAYS - 8) * EACH_DAY,
    )
    assert len(before) == DAYS * EACH_DAY
    assert done == planned
    assert again == pb.RetainEventsResponse()


async def test_what_was_dropped_is_not_found_and_its_id_stays_known(events, admin):
    old = await admin.fetchval("SELECT event_id::text FROM event.event_log WHERE position = 5")
    counted = await admin.fetchval("SELECT sum(count) FROM event.event_counts")

    answer = await events.RetainEvents(a_request())
    refusal = await refusal_of(events.GetEvent(pb.GetEventRequest(event_id=old)))
    retried = await log_one(events, event_id=old)

    assert (answer.dropped_events, answer.dropped_keys) == ((DAYS - 8) * EACH_DAY, 0)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "EVENT_NOT_FOUND")
    assert (retried.position, retried.duplicate) == (5, True)
    # They happened.
    assert await admin.fetchval("SELECT sum(count) FROM event.event_counts") >= counted


async def test_redaction_of_what_was_dropped_leaves_no_hash_of_it(events, admin):
    old = await admin.fetchval(
        "UPDATE event.event_ids SET body_hash = 'hash' WHERE position = 5 RETURNING event_id::text"
    )
    await events.RetainEvents(a_request())

    request = pb.RedactEventsRequest(event_ids=[old], reason="why")
    answer = await events.RedactEvents(request)
    retried = await log_one(events, event_id=old, content={"text": "another"})

    assert not answer.redacted_ids
    assert (retried.position, retried.duplicate) == (5, True)
    # Neither a notice nor an event.
    head = await admin.fetchval("SELECT position FROM event.log_head")
    assert head == DAYS * EACH_DAY


async def test_an_id_that_was_forgotten_is_a_new_event_again(events, admin):
    old = await admin.fetchval("SELECT event_id::text FROM event.event_log WHERE position = 5")

    await events.RetainEvents(a_request(drop_keys=True))
    retried = await log_one(events, event_id=old)

    assert (retried.position, retried.duplicate) == (DAYS * EACH_DAY + 1, False)


@pytest.mark.parametrize("days", [0, -1, 36_501])
async def test_days_are_checked(events, days):
    refusal = await refusal_of(events.RetainEvents(a_request(days)))

    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["days"])


async def test_readers_and_writers_go_on_while_days_are_dropped(events, database):
    """Whatever a reader is told, it is the log of one moment: without a gap."""
    dropped = asyncio.Event()
    kept_from = (DAYS - 8) * EACH_DAY + 1

    async def write() -> int:
        last = 0
        while not dropped.is_set():
            last = (await log_one(events, person_id=ADA)).position
        return last

    async def walk(order: pb.Order, **chosen: Any) -> list[list[int]]:
        walks = []
        while not dropped.is_set() or not walks:
            seen: list[int] = []
            token = ""
            while True:
                page = await events.ListEvents(
                    pb.ListEventsRequest(
                        order=order, page_size=37, page_token=token,
                        filter=event_pb2.EventFilter(**chosen),
                    )
                )  # fmt: skip
                seen += [event.position for event in page.events]
                if not (token := page.next_page_token):
                    break
            walks.append(seen)
        return walks

    async def retain() -> list[str]:
        async with event_service(database) as other:
            answers = await asyncio.gather(
                events.RetainEvents(a_request()), other.RetainEvents(a_request())
            )
        dropped.set()
        return [day for answer in answers for day in answer.dropped_days]

    days, last, forwards, backwards, adas = await asyncio.gather(
        retain(),
        write(),
        walk(pb.ORDER_ASCENDING),
        walk(pb.ORDER_DESCENDING),
        walk(pb.ORDER_DESCENDING, subject_ids=[ADA], event_types=["message"]),
    )

    assert sorted(days) == [ago(n) for n in range(DAYS - 1, 7, -1)]
    assert last > DAYS * EACH_DAY
    for seen in forwards:
        assert seen == sorted(seen)
        # What is kept is never missing, whatever went before it.
        kept = [position for position in seen if position >= kept_from]
        assert kept == list(range(kept_from, kept[-1] + 1))
    for seen in backwards:
        # From the newest on down, it ends where the log began at that moment.
        assert seen == list(range(seen[0], seen[-1] - 1, -1))
        assert seen[-1] <= kept_from
    for seen in adas:
        old = [position for position in seen if position <= DAYS * EACH_DAY]
        assert old == [n for n in range(DAYS * EACH_DAY, old[-1] - 1, -1) if n % 2 == 0]
        assert old[-1] <= kept_from + 1


async def test_a_page_whose_days_went_under_its_hands_is_read_again(events, admin, database):
    async with administrator(database) as reader, administrator(database) as holder:
        # The reader's statement has its snapshot, and waits before it looks at the log.
        await holder.execute("SELECT pg_advisory_lock(1)")
        page = asyncio.create_task(
            reader.fetchval(
                """SELECT event.list_events(1000)
                   FROM (SELECT pg_advisory_lock(1) OFFSET 0) AS waits (done)
                   WHERE done IS NOT NULL"""
            )
        )
        while not await admin.fetchval(WAITING):
            await asyncio.sleep(0.01)
        await events.RetainEvents(a_request())
        await holder.execute("SELECT pg_advisory_unlock(1)")

        with pytest.raises(asyncpg.SerializationError):
            await page
    positions, _ = await follow(events, page_size=1000)

    assert positions == list(range((DAYS - 8) * EACH_DAY + 1, DAYS * EACH_DAY + 1))


async def test_a_service_drops_expired_days_by_itself_where_it_is_told_to(database, admin):
    await fill_days(admin, f"{TODAY} - 9", 10, EACH_DAY)

    async with (
        running(lambda store: assemble(store, retention_days=3), database, "event") as address,
        running(lambda store: assemble(store, retention_days=3), database, "event"),
        channel_to(address) as channel,
    ):
        while (
            await admin.fetchval("SELECT count(*) FROM event.partitions WHERE events IS NULL") > 4
        ):
            await asyncio.sleep(0.02)
        positions, _ = await follow(Stub(channel))

    assert positions == list(range(6 * EACH_DAY + 1, 10 * EACH_DAY + 1))


class BusyDays:
    """A DayStore whose next day can be dropped only after so many tries."""

    def __init__(self, busy: int) -> None:
        self.busy = busy
        self.days = [Day("2024-01-01", 5)]

    async def drop_expired_day(self, keep_days: int) -> Day | None:
        if self.busy:
            self.busy -= 1
            raise Unavailable("somebody reads")
        return self.days.pop() if self.days else None

    async def nothing(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("not asked for")

    close_days = expired_days = forget_ids = nothing


async def test_a_reader_in_the_way_is_waited_for_some_times():
    patient = await Retention(BusyDays(TRIES - 1), pause=0).retain(5)

    assert patient.days == [Day("2024-01-01", 5)]
    with pytest.raises(Unavailable):
        await Retention(BusyDays(TRIES), pause=0).retain(5)
