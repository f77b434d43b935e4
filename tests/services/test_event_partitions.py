"""Partitions are there before they are needed, and readers open only those that they need."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from event_svc.domain.retention import Day
from event_svc.partitions import DAYS_AHEAD, DAYS_AT_ONCE, Partitions
from svckit import ids
from svckit.errors import Unavailable
from tests.support.cluster import Database, administrator
from tests.support.event_days import fill_days
from tests.support.events import an_event, event_service, follow, log_one

DAYS, EACH_DAY = 60, 50
LAST = DAYS * EACH_DAY
ADA, GROUP, SESSION, RARE = (ids.new() for _ in range(4))


@pytest.fixture
async def long_log(database: Database) -> AsyncIterator[Any]:
    """An administrator's connection to a log of sixty days; each has fifty events, of which ten
    are Ada's, ten the group's and ten the session's. One subject has a single event, on the
    very first day.
    """
    async with administrator(database) as admin:
        await fill_days(
            admin, "date '2024-01-01'", DAYS, EACH_DAY,
            subject_id=f"""CASE WHEN d = 0 AND n = 4 THEN '{RARE}'::uuid
                                WHEN n % 5 = 0 THEN '{ADA}'::uuid END""",
            group_id=f"CASE WHEN n % 5 = 1 THEN '{GROUP}'::uuid END",
            session_id=f"CASE WHEN n % 5 = 2 THEN '{SESSION}'::uuid END",
        )  # fmt: skip
        yield admin


async def opened_by(admin: Any, call: str) -> Sequence[str]:
    """The partitions that a call opens, plans included, by their days."""
    async with admin.transaction():
        await admin.execute(f"SELECT event.{call}")
        rows = await admin.fetch(
            r"""SELECT DISTINCT substr(c.relname, 11) AS day
                FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                WHERE l.pid = pg_backend_pid() AND c.relname ~ '^event_log_\d{8}$' ORDER BY 1"""
        )
    return [row["day"] for row in rows]


async def test_a_page_opens_the_partitions_at_its_end_of_the_log_and_no_more(long_log):
    first, last = "20240101", "20240229"
    half = LAST // 2
    for call, opened in {
        "list_events(49, true)": [last],
        f"list_events(9, true, subject_ids => ARRAY['{ADA}'])": [last],
        f"list_events(9, true, subject_ids => ARRAY['{ADA}', '{RARE}'])": [last],
        f"list_events(9, true, group_id => '{GROUP}')": [last],
        f"list_events(9, true, session_id => '{SESSION}')": [last],
        "list_events(49)": [first],
        f"list_events(9, subject_ids => ARRAY['{ADA}'])": [first],
        f"list_events(49, after_position => {half})": ["20240131"],
        f"list_events(49, true, before_position => {half + 1})": ["20240130"],
        f"list_events(1000, after_position => {LAST - 10})": [last],
        f"list_events(1000, after_position => {LAST})": [last],
        f"list_events(1000, true, after_position => {LAST - 70})": ["20240228", last],
        # Exactly a day's worth: whether more follow is a question to the days before.
        f"list_events(10, true, subject_ids => ARRAY['{ADA}'])": [
            "20240225", "20240226", "20240227", "20240228", last
        ],
    }.items():  # fmt: skip
        assert await opened_by(long_log, call) == opened, call


async def test_a_subject_without_a_full_page_is_looked_for_on_every_day_after_the_position(
    long_log,
):
    rare = f"list_events(50, true, subject_ids => ARRAY['{RARE}']"

    everywhere = await opened_by(long_log, f"{rare})")
    lately = await opened_by(long_log, f"{rare}, after_position => {LAST - 3 * EACH_DAY})")

    assert len(everywhere) == DAYS
    assert lately == ["20240227", "20240228", "20240229"]


async def test_an_event_is_read_out_of_its_own_partition_alone(long_log):
    event_id = await long_log.fetchval("SELECT event_id FROM event.event_log WHERE position = 120")

    assert await opened_by(long_log, f"get_event('{event_id}')") == ["20240103"]


@pytest.mark.parametrize(
    ("scope", "index", "chosen"),
    [
        ("subject_id", "subject_id_position_idx", {1: f"ARRAY['{ADA}']::uuid[]"}),
        ("group_id", "group_id_position_idx", {2: f"'{GROUP}'::uuid"}),
        ("session_id", "session_id_position_idx", {3: f"'{SESSION}'::uuid"}),
        (None, "pkey", {}),
    ],
)
async def test_pages_go_along_an_index_in_every_partition(long_log, scope, index, chosen):
    values = ", ".join(chosen.get(n, "NULL") for n in range(1, 8))
    types = (
        "uuid[], uuid, uuid, text[], text[], timestamptz, timestamptz, "
        "bigint, bigint, timestamptz, timestamptz, bigint, text[]"
    )
    await long_log.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    for descending in (True, False):
        statement = await long_log.fetchval(
            "SELECT event.page_statement($1, $2)", descending, scope
        )
        await long_log.execute(f"PREPARE page ({types}) AS {statement}")

        plan = await long_log.fetch(
            f"""EXPLAIN (ANALYZE, COSTS off, TIMING off) EXECUTE page (
                {values}, 0, 1000000, '2024-02-10Z', '2024-02-14Z', 5, NULL)"""
        )

        await long_log.execute("DEALLOCATE page")
        lines = [row[0] for row in plan]
        scanned = [line for line in lines if " Scan " in line and "event_log_" in line]
        assert {line.split("_")[2][:8] for line in scanned} == {
            "20240210", "20240211", "20240212", "20240213"
        }, lines  # fmt: skip
        assert all(index in line for line in scanned), lines
        assert not any("Seq Scan" in line for line in lines), lines


@pytest.mark.parametrize("is_analyzed", [False, True])
async def test_appends_look_ids_up_one_by_one_whatever_the_planner_knew(database, is_analyzed):
    session = await asyncpg.connect(database.url("kith_event"))
    async with administrator(database) as admin:
        await admin.execute("VACUUM ANALYZE event.event_ids")
        # Plans are made for good while there are no ids yet.
        for _ in range(8):
            await session.execute("SELECT event.append_events('[]')")
        await admin.execute(
            """INSERT INTO event.event_ids
               SELECT gen_random_uuid(), n, now(), NULL FROM generate_series(1, 20000) n"""
        )
        if is_analyzed:
            await admin.execute("ANALYZE event.event_ids")
    event = an_event()
    row = {**event.body, "event_id": event.event_id, "body_hash": event.body_hash}

    async with session.transaction():
        await session.execute("SELECT event.append_events($1)", orjson.dumps([[row]]).decode())
        scans = await session.fetchrow(
            """SELECT seq_tup_read, idx_scan, idx_tup_fetch FROM pg_stat_xact_user_tables
               WHERE relname = 'event_ids'"""
        )
    await session.close()

    assert (scans["seq_tup_read"], scans["idx_tup_fetch"]) == (0, 0)
    assert scans["idx_scan"] >= 1


async def test_a_service_makes_partitions_when_it_starts(database):
    async with event_service(database) as events, administrator(database) as admin:
        while not await admin.fetchval("SELECT count(*) FROM event.partitions"):
            await asyncio.sleep(0.01)
        place = await log_one(events)

        days = [r["day"] for r in await admin.fetch("SELECT day FROM event.partitions ORDER BY 1")]
        assert place.position == 1

    assert len(days) == DAYS_AHEAD + 1
    assert days[-1] - days[0] == timedelta(days=DAYS_AHEAD)


async def test_readers_go_on_while_partitions_are_made(database):
    async with event_service(database) as events, administrator(database) as admin:
        await log_one(events)
        async with admin.transaction():
            await admin.execute("SELECT event.ensure_partitions(30)")

            positions, scanned = await follow(events)

    assert (positions, scanned) == ([1], 1)


class FakeLog:
    """An EventStore and a DayStore as far as upkeep goes; it can be unavailable."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.failures = 0
        self.expired = [Day("2024-01-01", 5), Day("2024-01-02", 7)]
        self.open_days = DAYS_AT_ONCE + 1

    async def ensure_partitions(self, days_ahead: int) -> Sequence[str]:
        self.asked.put_nowait(f"{days_ahead} ahead")
        if self.failures:
            self.failures -= 1
            raise Unavailable("the store cannot be reached")
        return []

    async def close_days(self, most: int) -> Sequence[str]:
        closed = min(most, self.open_days)
        self.open_days -= closed
        self.asked.put_nowait(f"{closed} closed")
        return ["2024-02-01"] * closed

    async def drop_expired_day(self, keep_days: int) -> Day | None:
        self.asked.put_nowait(f"keep {keep_days}")
        return self.expired.pop(0) if self.expired else None

    async def append(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("partitions append nothing")

    get = page = expired_days = forget_ids = append

    async def next(self, number: int) -> list[str]:
        return [await asyncio.wait_for(self.asked.get(), 5) for _ in range(number)]


async def test_partitions_are_kept_ahead_until_the_service_stops():
    events = FakeLog()
    partitions = Partitions(events, events, every=0.001)

    await partitions.keep()
    await partitions.keep()
    events.failures = 2
    asked = await events.next(12)
    await partitions.drain()

    assert asked.count(f"{DAYS_AHEAD} ahead") >= 5
    assert not any(done.startswith("keep") for done in asked)
    assert "partitions" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_days_that_are_over_are_closed_and_expired_ones_dropped_where_asked():
    events = FakeLog()
    partitions = Partitions(events, events, retention_days=30)

    await partitions.keep()
    asked = await events.next(7)
    await partitions.drain()

    ahead = f"{DAYS_AHEAD} ahead"
    assert asked == [ahead, ahead, *["keep 30"] * 3, f"{DAYS_AT_ONCE} closed", "1 closed"]


async def test_partitions_that_cannot_be_made_at_the_start_are_the_callers_to_know():
    events = FakeLog()
    events.failures = 1
    partitions = Partitions(events, events)

    with pytest.raises(Unavailable):
        await partitions.keep()
    await partitions.drain()
