"""What every StatsStore counts, whatever it keeps its counts in."""

from datetime import UTC, datetime

import pytest

from event_svc.adapters.sql_stats import SqlStatsStore
from event_svc.domain.stats import Bucket, StatsQuery, TooManyCounts
from svckit import migrate
from svckit.sql import SqlFunctions
from tests.support.cluster import administrator

# Hour, type, platform, how many.
COUNTED = [
    ("2024-02-29T22:00Z", "message", "discord", 3),
    ("2024-02-29T23:00Z", "message", "telegram", 2),
    ("2024-02-29T23:00Z", "join", "discord", 1),
    ("2024-03-01T00:00Z", "message", "discord", 10),
    ("2024-03-04T00:00Z", "message", "discord", 20),
    ("2024-03-04T01:00Z", "message", "slack", 0),
]


@pytest.fixture
def schema() -> str:
    return "event"


@pytest.fixture
async def store(functions: SqlFunctions, database) -> SqlStatsStore:
    """Counts around the end of a month, behind each transport in turn."""
    async with administrator(database) as admin:
        await admin.execute(f"ALTER DATABASE {database.name} SET timezone = 'Pacific/Kiritimati'")
        await admin.executemany(
            "INSERT INTO event.event_counts VALUES ($1, $2, $3, $4)",
            [(datetime.fromisoformat(hour), *rest) for hour, *rest in COUNTED],
        )
    return SqlStatsStore(functions)


def query(bucket: Bucket, start: str = "2024-01-01", end: str = "2025-01-01", **how) -> StatsQuery:
    moments = (datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in (start, end))
    return StatsQuery(bucket, *moments, **how)


async def counted(store: SqlStatsStore, asked: StatsQuery) -> dict[str, int]:
    return {count.start[:13]: count.count for count in await store.counts(asked)}


async def test_buckets_are_hours_days_weeks_from_monday_and_months_in_utc(store):
    assert await counted(store, query(Bucket.HOUR)) == {
        "2024-02-29T22": 3, "2024-02-29T23": 3, "2024-03-01T00": 10, "2024-03-04T00": 20,
    }  # fmt: skip
    assert await counted(store, query(Bucket.DAY)) == {
        "2024-02-29T00": 6, "2024-03-01T00": 10, "2024-03-04T00": 20,
    }  # fmt: skip
    assert await counted(store, query(Bucket.WEEK)) == {"2024-02-26T00": 16, "2024-03-04T00": 20}
    assert await counted(store, query(Bucket.MONTH)) == {"2024-02-01T00": 6, "2024-03-01T00": 30}


async def test_only_what_is_asked_for_counts(store):
    day = query(Bucket.DAY, "2024-02-29", "2024-03-01")

    assert await counted(store, day) == {"2024-02-29T00": 6}
    assert await counted(store, query(Bucket.MONTH, event_types=["join", "leave"])) == {
        "2024-02-01T00": 1
    }
    assert await counted(store, query(Bucket.MONTH, platforms=["telegram", "discord"])) == {
        "2024-02-01T00": 6, "2024-03-01T00": 30,
    }  # fmt: skip
    assert await counted(store, query(Bucket.DAY, "2023-01-01", "2024-01-01")) == {}


async def test_types_and_platforms_are_told_apart_in_order_where_asked(store):
    day = {"start": "2024-02-29", "end": "2024-03-01"}

    async def told(**how: bool) -> list[tuple[str | None, str | None, int]]:
        counts = await store.counts(query(Bucket.DAY, **day, **how))
        return [(count.event_type, count.platform, count.count) for count in counts]

    assert await told() == [(None, None, 6)]
    assert await told(by_event_type=True) == [("join", None, 1), ("message", None, 5)]
    assert await told(by_platform=True) == [(None, "discord", 4), (None, "telegram", 2)]
    assert await told(by_event_type=True, by_platform=True) == [
        ("join", "discord", 1), ("message", "discord", 3), ("message", "telegram", 2),
    ]  # fmt: skip


async def test_an_answer_of_too_many_counts_is_refused(store, database):
    async with administrator(database) as admin:
        await admin.execute(
            """INSERT INTO event.event_counts
               SELECT '2024-06-01Z', 'type-' || n, 'web', 1 FROM generate_series(1, 10000) n"""
        )
    june = query(Bucket.MONTH, "2024-06-01", "2024-07-01", by_event_type=True)

    assert len(await store.counts(june)) == 10_000
    with pytest.raises(TooManyCounts):
        await store.counts(query(Bucket.MONTH, by_event_type=True))


async def test_events_from_before_there_were_counts_are_counted_once(database):
    [text] = [text for number, _, text in migrate.files("event_svc") if number == 7]
    backfill, _, _ = text.partition("-- Counts from")
    async with administrator(database) as admin:
        await admin.execute(
            """SELECT event.make_partition('2024-02-29'), event.make_partition('2024-03-01');
               INSERT INTO event.event_log (position, created_at, occurred_at, consent_version,
                   event_id, event_type, platform, content, metadata)
               SELECT n, '2024-02-29T23:30Z'::timestamptz + n * interval '10 minutes', now(), 0,
                      gen_random_uuid(), 'message', 'discord', '{}', '{}'
               FROM generate_series(1, 5) n;
               -- What appends have counted since the release before.
               INSERT INTO event.event_counts
               VALUES ('2024-03-01T00:00Z', 'message', 'discord', 1)"""
        )
        for _ in range(2):
            async with admin.transaction():
                await admin.execute(backfill)

        rows = await admin.fetch(
            "SELECT hour, event_type, platform, count FROM event.event_counts ORDER BY 1"
        )

    assert [(row["hour"].isoformat(), *tuple(row)[1:]) for row in rows] == [
        ("2024-02-29T23:00:00+00:00", "message", "discord", 2),
        ("2024-03-01T00:00:00+00:00", "message", "discord", 3),
    ]
