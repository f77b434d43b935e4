"""What every DayStore does with the days of the log, whatever it keeps them in."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from event_svc.adapters.sql_log import SqlEventStore
from event_svc.adapters.sql_retention import SqlDayStore
from event_svc.domain.log import EventFilter, EventNotFound
from event_svc.domain.retention import Day
from svckit.errors import Unavailable
from svckit.sql import SqlFunctions
from tests.support.cluster import administrator
from tests.support.event_days import fill_days
from tests.support.events import an_event, logged, move_clock

EVERYTHING = EventFilter()
TODAY = "(now() AT TIME ZONE 'UTC')::date"
DAYS, EACH_DAY = 6, 10


@pytest.fixture
def schema() -> str:
    return "event"


@pytest.fixture
def days(functions: SqlFunctions) -> SqlDayStore:
    """The days of a log behind each transport in turn."""
    return SqlDayStore(functions)


@pytest.fixture
def events(functions: SqlFunctions) -> SqlEventStore:
    return SqlEventStore(functions)


@pytest.fixture
async def admin(database):
    async with administrator(database) as connection:
        yield connection


@pytest.fixture
async def week(admin: Any) -> None:
    """The five days before today, and today, each with ten events."""
    await fill_days(admin, f"{TODAY} - {DAYS - 1}", DAYS, EACH_DAY)


def ago(days: int) -> str:
    return (datetime.now(UTC).date() - timedelta(days=days)).isoformat()


async def positions(events: SqlEventStore) -> list[int]:
    return [event.position for event in (await events.page(EVERYTHING, limit=1000)).events]


async def bounds(admin: Any) -> tuple[int, int]:
    return tuple(await admin.fetchrow("SELECT position, expired_position FROM event.log_head"))


async def test_whole_days_before_those_that_are_kept_go_one_at_a_time(days, events, admin, week):
    ids = await admin.fetchval("SELECT count(*) FROM event.event_ids")

    expired = await days.expired_days(2)
    dropped = [await days.drop_expired_day(2) for _ in range(4)]

    assert expired == [Day(ago(n), EACH_DAY) for n in (5, 4, 3)]
    assert dropped == [*expired, None]
    assert await positions(events) == list(range(31, 61))
    assert await bounds(admin) == (60, 30)
    assert await days.expired_days(2) == []
    assert await admin.fetchval("SELECT count(*) FROM event.event_ids") == ids
    tables = await admin.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits "
        "WHERE inhparent = 'event.event_log'::regclass"
    )
    assert {row["name"] for row in tables} == {
        "event.event_log_" + ago(n).replace("-", "") for n in (2, 1, 0)
    }


async def test_today_is_always_kept(days, admin, week):
    while await days.drop_expired_day(1):
        pass

    kept = await admin.fetch("SELECT day::text FROM event.partitions ORDER BY 1")
    assert [row["day"] for row in kept] == [ago(1), ago(0)]


async def test_a_dropped_event_is_not_found_and_a_retry_of_it_is_a_duplicate(days, events, admin):
    old, new = an_event(), an_event()
    await move_clock(admin, "'2024-01-01T12:00Z'")
    # The clock of the log goes on with that of the machine.
    await admin.execute(
        "INSERT INTO event.event_ids VALUES ($1, 1, '2024-01-01T12:00Z', decode($2, 'hex'))",
        old.event_id, old.body_hash,
    )  # fmt: skip
    await admin.execute(
        """SELECT event.make_partition('2024-01-01');
           INSERT INTO event.event_log SELECT 1, '2024-01-01T12:00Z', now(), 0, i.event_id, NULL,
               NULL, NULL, NULL, NULL, NULL, 'message', 'discord', '{}', '{}'
           FROM event.event_ids i;
           UPDATE event.partitions SET first_position = 1;
           UPDATE event.log_head SET position = 1"""
    )
    assert (await events.get(old.event_id)).position == 1

    assert await days.drop_expired_day(30) == Day("2024-01-01", 1)
    again, fresh = await logged(events, old, new)

    assert (again.position, again.duplicate) == (1, True)
    assert (fresh.position, fresh.duplicate) == (2, False)
    with pytest.raises(EventNotFound):
        await events.get(old.event_id)
    assert await positions(events) == [2]


async def test_racing_drops_take_each_day_once(days, week):
    dropped = await asyncio.gather(*(days.drop_expired_day(1) for _ in range(12)))

    gone = [day.day for day in dropped if day is not None]
    assert sorted(gone) == [ago(n) for n in (5, 4, 3, 2)]


async def test_a_reader_in_the_way_makes_a_drop_unavailable_and_nothing_changes(
    days, events, admin, week, database
):
    async with administrator(database) as reader, reader.transaction():
        await reader.execute("SELECT count(*) FROM event.event_log")

        with pytest.raises(Unavailable):
            await days.drop_expired_day(2)

        assert len(await positions(events)) == 60
        assert await bounds(admin) == (60, 0)
    assert await days.drop_expired_day(2) is not None


async def test_an_event_comes_to_a_day_that_was_dropped_if_the_clock_goes_back(
    days, events, admin, week
):
    # Nothing can be logged for the day any more, unless the machine's clock is wrong now.
    while await days.drop_expired_day(1):
        pass
    await admin.execute("DROP TABLE event.event_log_" + ago(0).replace("-", ""))
    await admin.execute(f"DELETE FROM event.partitions WHERE day = {TODAY}")

    [place] = await logged(events, an_event())

    assert place.position == 61
    assert (await positions(events))[-1] == 61


async def forget(days: SqlDayStore, keep_days: int, *, dry_run: bool = False) -> int:
    forgotten, block = 0, 0
    while block is not None:
        number, block = await days.forget_ids(keep_days, block, dry_run=dry_run)
        forgotten += number
    return forgotten


async def test_ids_of_dropped_days_are_forgotten_where_asked_and_no_others(days, admin, week):
    assert await forget(days, 2, dry_run=True) == 30
    # Their events are still there.
    assert await forget(days, 2) == 0

    assert await days.drop_expired_day(2) is not None
    assert await forget(days, 2) == 10
    while await days.drop_expired_day(2):
        pass
    assert await forget(days, 4) == 0
    assert await forget(days, 2) == 20
    assert await forget(days, 2) == 0
    assert await admin.fetchval("SELECT count(*) FROM event.event_ids") == 30
    assert await admin.fetchval("SELECT min(position) FROM event.event_ids") == 31


async def test_ids_are_walked_in_parts(days, admin):
    await admin.execute(
        """INSERT INTO event.event_ids
           SELECT gen_random_uuid(), n, '2024-01-01', NULL FROM generate_series(1, 100000) n"""
    )

    first, block = await days.forget_ids(1, 0, dry_run=False)

    assert 0 < first < 100_000
    assert block is not None
    assert first + await forget(days, 1) == 100_000


async def test_past_days_are_closed_once_and_say_what_they_hold(days, admin):
    await fill_days(
        admin, f"{TODAY} - 2", 3, 4,
        event_type="CASE WHEN n = 1 THEN 'join' ELSE 'message' END",
        platform="'p' || d",
        occurred_at="'2001-01-01Z'::timestamptz + n * interval '1 hour'",
    )  # fmt: skip

    assert await days.close_days(1) == [ago(2)]
    assert await days.close_days(5) == [ago(1)]
    assert await days.close_days(5) == []
    row = await admin.fetchrow(f"SELECT * FROM event.partitions WHERE day = {TODAY} - 1")
    assert (row["events"], row["last_position"]) == (4, 8)
    assert (sorted(row["event_types"]), row["platforms"]) == (["join", "message"], ["p1"])
    assert (row["first_occurred_at"].hour, row["last_occurred_at"].hour) == (1, 4)


async def test_replicas_close_each_day_once(days, week):
    closed = await asyncio.gather(*(days.close_days(2) for _ in range(6)))

    assert sorted(day for some in closed for day in some) == [ago(n) for n in (5, 4, 3, 2, 1)]


async def test_a_day_of_too_many_types_is_open_to_every_filter(days, events, admin):
    await fill_days(admin, f"{TODAY} - 1", 2, 300, event_type="'type-' || n")
    await days.close_days(1)

    page = await events.page(EventFilter(event_types=["type-7"]), limit=10)

    assert [event.position for event in page.events] == [7, 307]
    assert await admin.fetchval("SELECT count(event_types) FROM event.partitions") == 0
