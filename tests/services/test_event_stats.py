"""GetEventStats: its ranges over a real channel, and what it refuses."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from event_svc.domain.stats import Bucket
from event_svc.wire.stats import to_query
from kith.event.v1 import event_service_pb2 as pb
from tests.support.cluster import administrator
from tests.support.events import Stub, event_service
from tests.support.refusals import refusal_of

NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)


@pytest.fixture
async def events(database) -> AsyncIterator[Stub]:
    async with event_service(database) as stub:
        yield stub


def a_query(**fields: Any) -> pb.GetEventStatsRequest:
    """A request; `from` and `to` may be ISO 8601 text."""
    for name in ("from", "to"):
        if isinstance(fields.get(name), str):
            moment = Timestamp()
            moment.FromDatetime(datetime.fromisoformat(fields[name]))
            fields[name] = moment
    return pb.GetEventStatsRequest(**fields)


async def test_counts_come_by_time_type_and_platform_with_their_total(events, database):
    async with administrator(database) as admin:
        await admin.execute(
            """INSERT INTO event.event_counts VALUES
               ('2026-11-20T23:00Z', 'message', 'discord', 4),
               ('2026-11-20T23:00Z', 'join', 'web', 1),
               ('2026-11-21T00:00Z', 'message', 'web', 2),
               ('2026-11-21T01:00Z', 'message', 'web', 3)"""
        )
    asked = {"from": "2026-11-20T12:00Z", "to": "2026-11-21T12:00Z"}

    by_day = await events.GetEventStats(a_query(**asked))
    told_apart = await events.GetEventStats(
        a_query(
            **asked, bucket=pb.STATS_BUCKET_HOUR, by_event_type=True, by_platform=True,
            event_types=["message"], platforms=["Web"],
        )
    )  # fmt: skip

    assert [(c.start.ToJsonString(), c.event_type, c.platform, c.count) for c in by_day.counts] == [
        ("2026-11-20T00:00:00Z", "", "", 5),
        ("2026-11-21T00:00:00Z", "", "", 5),
    ]
    assert by_day.total == 10
    assert [
        (c.start.ToJsonString(), c.event_type, c.platform, c.count) for c in told_apart.counts
    ] == [
        ("2026-11-21T00:00:00Z", "message", "web", 2),
        ("2026-11-21T01:00:00Z", "message", "web", 3),
    ]
    assert told_apart.total == 5


async def test_an_empty_log_has_no_counts(events):
    answer = await events.GetEventStats(a_query())

    assert (list(answer.counts), answer.total) == ([], 0)


@pytest.mark.parametrize(
    ("fields", "start", "end"),
    [
        ({}, "2026-10-23", "2026-11-22"),
        ({"bucket": pb.STATS_BUCKET_HOUR}, "2026-11-20T11:00", "2026-11-21T11:00"),
        ({"bucket": pb.STATS_BUCKET_WEEK}, "2026-05-25", "2026-11-23"),
        ({"bucket": pb.STATS_BUCKET_MONTH}, "2024-12-01", "2026-12-01"),
        ({"to": "2024-03-01T00:00Z"}, "2024-01-31", "2024-03-01"),
        ({"to": "1970-01-05T00:00Z", "bucket": pb.STATS_BUCKET_MONTH}, "1970-01-01", "1970-02-01"),
        ({"from": "2026-11-19T23:59Z"}, "2026-11-19", "2026-11-22"),
        (
            {"from": "2024-02-29T23:30Z", "to": "2024-03-01T00:00:00.000001Z"},
            "2024-02-29", "2024-03-02",
        ),
        (
            {"from": "2024-12-31T00:00Z", "to": "2024-12-31T01:00Z",
             "bucket": pb.STATS_BUCKET_WEEK},
            "2024-12-30", "2025-01-06",
        ),
        (
            {"from": "2024-12-31T00:00Z", "to": "2024-12-31T01:00Z",
             "bucket": pb.STATS_BUCKET_MONTH},
            "2024-12-01", "2025-01-01",
        ),
    ],
)  # fmt: skip
def test_a_range_is_rounded_to_whole_buckets(fields, start, end):
    query = to_query(a_query(**fields), NOW)

    assert query.start == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert query.end == datetime.fromisoformat(end).replace(tzinfo=UTC)


@pytest.mark.parametrize("bucket", list(Bucket))
def test_buckets_follow_each_other_without_gaps(bucket):
    start = bucket.start_of(datetime(2023, 12, 28, 23, 59, tzinfo=UTC))

    for number in range(1, 40):
        end = bucket.after(start, number)
        assert bucket.start_of(end) == end
        assert bucket.start_of(end - timedelta(microseconds=1)) == bucket.after(start, number - 1)
        assert bucket.number_between(start, end) == number


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"bucket": 9}, "bucket"),
        ({"from": Timestamp(seconds=-1)}, "from"),
        ({"to": Timestamp(seconds=253_402_300_800)}, "to"),
        ({"to": "9999-12-31T23:30Z"}, "to"),
        ({"to": "9999-12-31T23:30Z", "bucket": pb.STATS_BUCKET_MONTH}, "to"),
        ({"from": "2026-11-20T00:00Z", "to": "2026-11-20T00:00Z"}, "from"),
        ({"from": "2026-11-21T00:00Z", "to": "2026-11-20T00:00Z"}, "from"),
        ({"from": "2020-01-01T00:00Z", "to": "2026-01-01T00:00Z"}, "from"),
        ({"event_types": ["Message"]}, "event_types[0]"),
        ({"event_types": ["message"] * 33}, "event_types"),
        ({"platforms": ["discord", "not a word"]}, "platforms[1]"),
        ({"platforms": ["discord"] * 33}, "platforms"),
    ],
)
async def test_a_malformed_query_is_refused_by_field(events, fields, field):
    refusal = await refusal_of(events.GetEventStats(a_query(**fields)))

    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.fields == [field]


async def test_a_thousand_buckets_may_be_asked_for_and_no_more(events):
    asked = {"bucket": pb.STATS_BUCKET_HOUR, "from": "2026-01-01T00:00Z"}
    end = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=1000)

    answer = await events.GetEventStats(a_query(**asked, to=end.isoformat()))
    refusal = await refusal_of(
        events.GetEventStats(a_query(**asked, to=(end + timedelta(seconds=1)).isoformat()))
    )

    assert answer.total == 0
    assert refusal.fields == ["from"]
