"""Partitions are there before they are needed, and readers open only those that they need."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from event_svc.domain.log import Append
from event_svc.partitions import DAYS_AHEAD, Partitions
from svckit import ids
from svckit.errors import Unavailable
from tests.support.cluster import Database, administrator
from tests.support.events import an_event, event_service, follow, log_one

DAYS, EACH_DAY = 60, 50
LAST = DAYS * EACH_DAY
ADA, GROUP, SESSION, RARE = (ids.new() for _ in range(4))

# A log of sixty days; each has fifty events, of which ten are Ada's, ten the group's and ten
# the session's. One subject has a single event, on the very first day.
LONG_LOG = f"""
    SELECT event.make_partition('2024-01-01'::date + d) FROM generate_series(0, {DAYS - 1}) d;
    INSERT INTO event.event_log (
        position, created_at, occurred_at, consent_version, event_id, subject_id, group_id,
        session_id, event_type, platform, content, metadata)
    SELECT d * {EACH_DAY} + n, event.start_of('2024-01-01'::date + d) + n * interval '1 minute',
           now(), 0, gen_random_uuid(),
           CASE WHEN d = 0 AND n = 4 THEN '{RARE}'::uuid WHEN n % 5 = 0 THEN '{ADA}'::uuid END,
           CASE WHEN n % 5 = 1 THEN '{GROUP}'::uuid END,
           CASE WHEN n % 5 = 2 THEN '{SESSION}'::uuid END,
           'message', 'discord', jsonb_build_object('text', repeat('word ', 40)), '{{}}'
    FROM generate_series(0, {DAYS - 1}) d, generate_series(1, {EACH_DAY}) n;
    UPDATE event.partitions
    SET first_position = (day - '2024-01-01'::date) * {EACH_DAY} + 1;
    INSERT INTO event.event_ids
    SELECT event_id, position, created_at, NULL FROM event.event_log;
    UPDATE event.log_head SET position = {LAST},
                              created_at = (SELECT max(created_at) FROM event.event_log);
    ANALYZE event.event_log"""


@pytest.fixture
async def long_log(database: Database) -> AsyncIterator[Any]:
    """An administrator's connection to a log of sixty partitions."""
    async with administrator(database) as admin:
        await admin.execute(LONG_LOG)
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
    ("index", "chosen"),
    [
        ("subject_id_position_idx", {1: f"ARRAY['{ADA}']::uuid[]"}),
        ("group_id_position_idx", {2: f"'{GROUP}'::uuid"}),
        ("session_id_position_idx", {3: f"'{SESSION}'::uuid"}),
        ("pkey", {}),
    ],
)
async def test_pages_go_along_an_index_in_every_partition(long_log, index, chosen):
    values = ", ".join(chosen.get(n, "NULL") for n in range(1, 8))
    types = (
        "uuid[], uuid, uuid, text[], text[], timestamptz, timestamptz, "
        "bigint, bigint, timestamptz, timestamptz, bigint"
    )
    for descending in (True, False):
        statement = await long_log.fetchval("SELECT event.page_statement($1)", descending)
        await long_log.execute(f"PREPARE page ({types}) AS {statement}")

        plan = await long_log.fetch(
            f"""EXPLAIN (ANALYZE, COSTS off, TIMING off) EXECUTE page (
                {values}, 0, 1000000, '2024-02-10Z', '2024-02-14Z', 5)"""
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


class FakeEvents:
    """An EventStore as far as partitions go; it can be unavailable."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[int] = asyncio.Queue()
        self.failures = 0

    async def ensure_partitions(self, days_ahead: int) -> Sequence[str]:
        self.asked.put_nowait(days_ahead)
        if self.failures:
            self.failures -= 1
            raise Unavailable("the store cannot be reached")
        return []

    async def append(self, requests: Sequence[Append]) -> Any:
        raise AssertionError("partitions append nothing")

    get = page = append


async def test_partitions_are_kept_ahead_until_the_service_stops():
    events = FakeEvents()
    partitions = Partitions(events, every=0.001)

    await partitions.keep()
    await partitions.keep()
    events.failures = 2
    asked = [await asyncio.wait_for(events.asked.get(), 5) for _ in range(8)]
    await partitions.drain()

    assert asked == [DAYS_AHEAD] * 8
    assert "partitions" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_partitions_that_cannot_be_made_at_the_start_are_the_callers_to_know():
    events = FakeEvents()
    events.failures = 1
    partitions = Partitions(events)

    with pytest.raises(Unavailable):
        await partitions.keep()
    await partitions.drain()
