"""A long log is read in few places: which partitions and indexes a call uses, and how many rows.

What a function does inside is told by the locks that its transaction holds (a partition that is
so much as planned for is locked), and by what it has counted for each index and table.
"""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from tests.support.cluster import Cluster, Database, administrator
from tests.support.event_days import fill_days

DAYS, EACH_DAY = 60, 500
LAST = DAYS * EACH_DAY
BUSY_DAY = 8000
# Fixed, for they become names of tests.
*SUBJECTS, GROUP, SESSION = (f"00000000-0000-4000-8000-00000000000{n}" for n in range(5))
FIRST_DAY = "date '2024-01-01'"
OF_SUBJECTS = "subject_ids => ARRAY[{}]".format(", ".join(f"'{one}'" for one in SUBJECTS))

PAGE_TYPES = (
    "uuid[], uuid, uuid, text[], text[], timestamptz, timestamptz, "
    "bigint, bigint, timestamptz, timestamptz, bigint, text[]"
)

LOCKED = r"""
    SELECT DISTINCT substr(c.relname, 11, 8) AS day
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = pg_backend_pid() AND c.relname ~ '^event_log_\d{8}$' ORDER BY 1"""
INDEXES = r"""
    SELECT DISTINCT regexp_replace(c.relname, '^event_log_\d{8}_', '') AS name
    FROM pg_class c
    WHERE c.relkind = 'i' AND c.relnamespace = 'event'::regnamespace
      AND c.relname ~ '^event_log_\d' AND pg_stat_get_xact_numscans(c.oid) > 0"""
ROWS = """
    SELECT coalesce(sum(seq_tup_read), 0)::bigint AS by_scan,
           coalesce(sum(idx_tup_fetch), 0)::bigint AS by_index
    FROM pg_stat_xact_user_tables WHERE relname ~ $1"""


@pytest.fixture(scope="module")
def filled(cluster: Cluster) -> Iterator[Database]:
    """Sixty days, closed but for the last, where the log ends; of the events of a day, ten are of
    each of three subjects, ten in the group, ten in the session.
    """

    async def fill(admin: Any) -> None:
        await fill_days(
            admin, FIRST_DAY, DAYS, EACH_DAY,
            subject_id="(ARRAY[{}]::uuid[])[n % 50 + 1]".format(
                ", ".join(f"'{one}'" for one in SUBJECTS)
            ),
            group_id=f"CASE WHEN n % 50 = 3 THEN '{GROUP}'::uuid END",
            session_id=f"CASE WHEN n % 50 = 4 THEN '{SESSION}'::uuid END",
            event_type="CASE WHEN d = 20 AND n = 7 THEN 'rare' ELSE 'message' END",
            platform="CASE WHEN d IN (10, 11, 40) THEN 'slack' ELSE 'discord' END",
            content="jsonb_build_object('text', 'word ' || d)",
        )  # fmt: skip
        await admin.execute("SELECT event.close_days(100)")

    with cluster.filled(fill) as database:
        yield database


@pytest.fixture
async def long_log(filled: Database) -> AsyncIterator[Any]:
    """A session of its own for each test, for its counters count all that it does."""
    async with administrator(filled) as admin:
        yield admin


class Trace:
    """What a call has used."""

    def __init__(self, days: Sequence[str], indexes: set[str], seq: int, fetched: int) -> None:
        self.days, self.indexes, self.seq, self.fetched = days, indexes, seq, fetched


async def trace(admin: Any, call: str, table: str = r"^event_log_\d") -> Trace:
    """Run `event.call` in a transaction of its own."""
    async with admin.transaction():
        await admin.execute(f"SELECT event.{call}")
        days = [row["day"] for row in await admin.fetch(LOCKED)]
        indexes = {row["name"] for row in await admin.fetch(INDEXES)}
        rows = await admin.fetchrow(ROWS, table)
    return Trace(days, indexes, rows["by_scan"], rows["by_index"])


async def test_a_page_of_a_timeline_reads_one_index_of_the_newest_days(long_log):
    found = await trace(long_log, f"list_events(20, true, {OF_SUBJECTS})")

    assert found.days == ["20240229"]
    assert found.indexes == {"subject_id_position_idx"}
    assert (found.seq, found.fetched) == (0, 30)


async def test_a_page_of_a_timeline_with_a_filter_looks_at_what_its_subjects_have(long_log):
    found = await trace(
        long_log, f"list_events(20, true, {OF_SUBJECTS}, event_types => ARRAY['message'])"
    )

    assert found.days == ["20240229"]
    assert found.indexes == {"subject_id_position_idx"}
    assert found.seq == 0
    assert found.fetched <= 2 * 30


async def test_a_resume_reads_the_log_from_its_position_on_and_nothing_before(long_log):
    old = 20 * EACH_DAY + 40

    found = await trace(long_log, f"list_events(30, after_position => {old})")

    assert found.days == ["20240121"]
    assert found.indexes == {"pkey"}
    assert found.seq == 0
    assert 31 <= found.fetched <= 35


async def test_a_days_stats_read_its_hours_alone(long_log):
    call = "get_event_stats('hour', '2024-01-31Z', '2024-02-01Z', NULL, NULL, true, true, 10001)"

    found = await trace(long_log, call, "^event_counts$")

    # Of one type on one platform, so that each hour is one row.
    assert found.days == []
    assert (found.seq, found.fetched) == (0, 24)


@pytest.mark.parametrize(
    ("chosen", "days"),
    [
        ("event_types => ARRAY['rare']", ["20240121"]),
        ("platforms => ARRAY['slack']", ["20240111", "20240112", "20240210"]),
        ("event_types => ARRAY['rare'], platforms => ARRAY['slack']", []),
        ("event_types => ARRAY['nothing']", []),
        (
            "occurred_from => '2024-02-09T12:00Z', occurred_to => '2024-02-10T12:00Z'",
            ["20240209", "20240210"],
        ),
        ("occurred_to => '2024-01-01T12:00Z'", ["20240101"]),
        (f"occurred_from => '2024-02-28T12:00Z', {OF_SUBJECTS}", ["20240228"]),
    ],
)
async def test_closed_days_that_hold_nothing_for_a_filter_are_not_opened(long_log, chosen, days):
    for descending in ("true", "false"):
        found = await trace(long_log, f"list_events(2000, {descending}, {chosen})")

        # The last day is open: more may come to it.
        assert found.days == [*days, "20240229"]
        assert found.seq == 0


@pytest.mark.parametrize(
    ("scope", "index"),
    [
        (OF_SUBJECTS, "subject_id_position_idx"),
        (f"group_id => '{GROUP}'", "group_id_position_idx"),
        (f"session_id => '{SESSION}'", "session_id_position_idx"),
    ],
)
async def test_a_search_goes_along_the_index_of_its_scope(long_log, scope, index):
    found = await trace(long_log, f"search_events(5, ARRAY['word 59'], {scope})")

    assert found.days == ["20240229"]
    assert found.indexes == {index}
    assert found.seq == 0


@pytest.fixture
async def busy_days(database: Database) -> AsyncIterator[Any]:
    """Two days of a log in which many take turns, each day with one event of a rare type."""
    async with administrator(database) as admin:
        turn = "('00000000-0000-4000-8000-' || lpad(to_hex(n % 400), 12, '0'))::uuid"
        await fill_days(
            admin, FIRST_DAY, 2, BUSY_DAY, subject_id=turn, group_id=turn, session_id=turn,
            event_type="CASE WHEN n = 7 THEN 'rare' ELSE 'message' END",
        )  # fmt: skip
    # A session of its own, as above.
    async with administrator(database) as admin:
        yield admin


@pytest.mark.parametrize("reader", ["list_events(5, false", "search_events(5, ARRAY['word']"])
@pytest.mark.parametrize(
    ("scope", "index"),
    [
        (OF_SUBJECTS, "subject_id_position_idx"),
        (f"group_id => '{GROUP}'", "group_id_position_idx"),
        (f"session_id => '{SESSION}'", "session_id_position_idx"),
    ],
)
async def test_a_rare_type_is_looked_for_along_the_index_of_its_scope(
    busy_days, reader, scope, index
):
    found = await trace(busy_days, f"{reader}, {scope}, event_types => ARRAY['rare'])")

    assert found.indexes == {index}
    assert found.seq == 0
    # Each of up to three has a 400th of the log; it is read for a look, and for the page.
    assert found.fetched <= 2 * 3 * 2 * BUSY_DAY // 400


async def test_somebody_busy_in_a_conversation_is_read_along_the_conversation(database):
    async with administrator(database) as admin:
        turn = "('00000000-0000-4000-8000-' || lpad(to_hex(n % 400), 12, '0'))::uuid"
        await fill_days(
            admin, FIRST_DAY, 1, BUSY_DAY, subject_id=f"'{SUBJECTS[0]}'::uuid", session_id=turn
        )
    chosen = f"subject_ids => ARRAY['{SUBJECTS[0]}'], session_id => '{SESSION}'"

    async with administrator(database) as admin:
        found = await trace(admin, f"list_events(50, true, {chosen})")

    assert found.indexes == {"session_id_position_idx"}
    assert (found.seq, found.fetched) == (0, BUSY_DAY // 400)


async def test_the_statements_plan_is_an_index_scan_of_few_blocks(long_log):
    statement = await long_log.fetchval("SELECT event.page_statement(true, 'subject_id')")
    await long_log.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    await long_log.execute(f"PREPARE page ({PAGE_TYPES}) AS {statement}")

    plan = await long_log.fetchval(
        f"""EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT json) EXECUTE page (
            ARRAY['{SUBJECTS[0]}', '{SUBJECTS[1]}']::uuid[], NULL, NULL, NULL, NULL, NULL, NULL,
            0, 1000000, '2024-02-28Z', '2024-03-01Z', 10, NULL)"""
    )

    [explained] = json.loads(plan)
    nodes = list(flattened(explained["Plan"]))
    scans = [node for node in nodes if "Relation Name" in node]
    assert {node["Node Type"] for node in scans} == {"Index Scan"}
    assert {node["Relation Name"] for node in scans} == {"event_log_20240228", "event_log_20240229"}
    assert explained["Plan"]["Shared Hit Blocks"] + explained["Plan"]["Shared Read Blocks"] < 100


def flattened(node: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """A plan's nodes."""
    return [node, *(below for child in node.get("Plans", []) for below in flattened(child))]
