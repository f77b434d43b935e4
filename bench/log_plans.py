"""Reads of a million events in 60 daily partitions, beside floors.

A database of its own, filled by SQL. A floor is the query that somebody would write by hand who
knows the partition and the index; both sides are called over the same connection, one at a time.
"""

import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg

from bench.measure import Figures, figures
from kithctl.embedded import EmbeddedPostgres
from svckit import ids, migrate
from tests.support.event_days import fill_days
from tests.support.up import RunningKith

EVENTS = 1_000_000
DAYS = 60
FIRST_DAY = "date '2024-01-01'"
LAST_TABLE, MIDDLE_TABLE = "event.event_log_20240229", "event.event_log_20240130"
CALLS = 200
# A thousand subjects, of whom everybody is as busy as the others; and one who wrote three times.
BUSY = [f"00000000-0000-4000-8000-{n:012x}" for n in range(1000)]
RARE = ids.new()
THREE = BUSY[:3]

PAGE = """SELECT * FROM {table} WHERE subject_id = $1 ORDER BY position DESC LIMIT 51"""
TIMELINE_FLOOR = " UNION ALL ".join(
    "(" + PAGE.format(table=LAST_TABLE).replace("$1", f"'{one}'") + ")" for one in THREE
)
RESUME_FLOOR = f"SELECT * FROM {MIDDLE_TABLE} WHERE position > $1 ORDER BY position LIMIT 51"
STATS_FLOOR = """
    SELECT hour, event_type, platform, count FROM event.event_counts
    WHERE hour >= '2024-01-31Z' AND hour < '2024-02-01Z' ORDER BY 1, 2, 3"""

RATIOS = (
    ("timeline of 3 subjects, newest 50", "floor: timeline of 3 subjects, newest 50"),
    ("50 after an old position", "floor: 50 after an old position"),
    ("a day's counts, by hour, type and platform", "floor: a day's counts"),
)

Statements = Sequence[tuple[str, str, tuple[Any, ...]]]


def statements(each_day: int) -> Statements:
    """What is measured: name, statement, arguments."""
    middle = 29 * each_day + each_day // 2
    listed = "SELECT event.list_events(50, true, subject_ids => $1{})"
    searched = "SELECT event.search_events(50, ARRAY['{}'], subject_ids => $1)"
    return [
        ("floor: timeline of 3 subjects, newest 50", TIMELINE_FLOOR, ()),
        ("timeline of 3 subjects, newest 50", listed.format(""), (THREE,)),
        (
            "timeline of 3 subjects, of a type",
            listed.format(", event_types => ARRAY['message']"),
            (THREE,),
        ),
        ("timeline of somebody who wrote three times", listed.format(""), ([RARE],)),
        ("floor: 50 after an old position", RESUME_FLOOR, (middle,)),
        (
            "50 after an old position",
            "SELECT event.list_events(50, after_position => $1)",
            (middle,),
        ),
        ("floor: a day's counts", STATS_FLOOR, ()),
        (
            "a day's counts, by hour, type and platform",
            "SELECT event.get_event_stats("
            "'hour', '2024-01-31Z', '2024-02-01Z', NULL, NULL, true, true, 10001)",
            (),
        ),
        (
            "sixty days' counts, by day",
            "SELECT event.get_event_stats("
            "'day', '2024-01-01Z', '2024-03-01Z', NULL, NULL, false, false, 10001)",
            (),
        ),
        (
            "a type of 3 days, over the whole log",
            "SELECT event.list_events(50, true, event_types => ARRAY['rare'])",
            (),
        ),
        ("search of 3 subjects, all hits", searched.format("word"), (THREE,)),
        ("search of 3 subjects, no hit", searched.format("needle"), (THREE,)),
    ]


async def measured(call: Callable[[], Awaitable[object]], calls: int) -> Figures:
    """So many calls, one after the other; the first tenth only warms up."""
    latencies = []
    for number in range(calls + calls // 10):
        before = time.perf_counter()
        await call()
        if number >= calls // 10:
            latencies.append(time.perf_counter() - before)
    return figures(latencies, sum(latencies))


async def fill(connection: Any, each_day: int) -> None:
    """A log of so many events a day; a thousand people take turns."""
    await fill_days(
        connection, FIRST_DAY, DAYS, each_day,
        subject_id=f"""CASE WHEN n = 1 AND d IN (1, 20, 40) THEN '{RARE}'::uuid
            ELSE ('00000000-0000-4000-8000-' || lpad(to_hex(n % 1000), 12, '0'))::uuid END""",
        session_id="('00000000-0000-4000-9000-' || lpad(to_hex(n % 1000), 12, '0'))::uuid",
        event_type="CASE WHEN n = 5 AND d IN (7, 8, 33) THEN 'rare' ELSE 'message' END",
        platform="(ARRAY['discord', 'telegram', 'whatsapp'])[n % 3 + 1]",
        content="jsonb_build_object('text', 'a word or two ' || repeat('and more ', 12), 'n', n)",
    )  # fmt: skip
    await connection.execute(f"SELECT event.close_days({DAYS})")


async def rows(_: RunningKith) -> AsyncIterator[tuple[str, Figures]]:
    """Each read, in a database of their own without fsync."""
    each_day = EVENTS // DAYS
    with tempfile.TemporaryDirectory(prefix="kith-plans-") as home:
        async with EmbeddedPostgres(Path(home), settings={"fsync": "off"}) as postgres:
            await migrate.migrate(postgres.url(), "event_svc", "event")
            connection = await asyncpg.connect(postgres.url())
            await fill(connection, each_day)
            for name, statement, arguments in statements(each_day):
                prepared = await connection.prepare(statement)
                yield (
                    name,
                    await measured(
                        lambda query=prepared, given=arguments: query.fetch(*given), CALLS
                    ),
                )
            await connection.close()
