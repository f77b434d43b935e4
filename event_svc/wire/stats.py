"""GetEventStats' messages to the domain, checked on the way, and back."""

from datetime import datetime

from event_svc.domain.stats import (
    DEFAULT_BUCKETS,
    EARLIEST,
    MOST_BUCKETS,
    Bucket,
    EventCount,
    StatsQuery,
)
from event_svc.wire import log as wire
from kith.event.v1 import event_service_pb2 as pb
from svckit import fields
from svckit.errors import InvalidRequest

_BUCKETS = {
    pb.STATS_BUCKET_UNSPECIFIED: Bucket.DAY,
    pb.STATS_BUCKET_HOUR: Bucket.HOUR,
    pb.STATS_BUCKET_DAY: Bucket.DAY,
    pb.STATS_BUCKET_WEEK: Bucket.WEEK,
    pb.STATS_BUCKET_MONTH: Bucket.MONTH,
}


def to_query(request: pb.GetEventStatsRequest, now: datetime) -> StatsQuery:
    """What to count, in whole buckets."""
    if request.bucket not in _BUCKETS:
        raise InvalidRequest("bucket", "is unknown")
    bucket = _BUCKETS[request.bucket]
    start, end = _range_of(request, bucket, now)
    number = bucket.number_between(start, end)
    if number > MOST_BUCKETS:
        raise InvalidRequest(
            "from", f"leads to {number} buckets; at most {MOST_BUCKETS} are allowed"
        )
    return StatsQuery(
        bucket=bucket,
        start=start,
        end=end,
        event_types=wire.to_event_types(request.event_types, "event_types"),
        platforms=fields.words(request.platforms, "platforms", most=wire.MOST_WORDS),
        by_event_type=request.by_event_type,
        by_platform=request.by_platform,
    )


def from_count(count: EventCount) -> pb.EventCount:
    """How many events there are in a bucket."""
    return pb.EventCount(
        start=fields.to_timestamp(count.start),
        event_type=count.event_type or "",
        platform=count.platform or "",
        count=count.count,
    )


def _range_of(
    request: pb.GetEventStatsRequest, bucket: Bucket, now: datetime
) -> tuple[datetime, datetime]:
    given_from = fields.timestamp(request, "from")
    given_to = fields.timestamp(request, "to")
    before = datetime.fromisoformat(given_to) if given_to else now
    end = bucket.start_of(before)
    try:
        if end < before:
            end = bucket.after(end)
    except OverflowError:
        raise InvalidRequest("to", "is out of range: years 1970 to 9999") from None
    if not given_from:
        return max(bucket.after(end, -DEFAULT_BUCKETS[bucket]), bucket.start_of(EARLIEST)), end
    first = datetime.fromisoformat(given_from)
    if first >= before:
        raise InvalidRequest("from", "must be before `to`")
    return bucket.start_of(first), end
