"""Counts of events by lengths of time, in UTC."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from svckit.errors import InvalidRequest

MOST_BUCKETS = 1000
MOST_COUNTS = 10_000

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class Bucket(Enum):
    """A length of time."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    def start_of(self, moment: datetime) -> datetime:
        """When the bucket starts that a moment is in."""
        if self is Bucket.HOUR:
            return moment.replace(minute=0, second=0, microsecond=0)
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        if self is Bucket.WEEK:
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self is Bucket.MONTH else day

    def after(self, start: datetime, number: int = 1) -> datetime:
        """When the bucket starts that is so many later, or earlier; may raise OverflowError."""
        if self is Bucket.MONTH:
            months = start.year * 12 + start.month - 1 + number
            try:
                return start.replace(year=months // 12, month=months % 12 + 1)
            except ValueError as error:
                raise OverflowError("no such year") from error
        return start + number * _LENGTHS[self]

    def number_between(self, start: datetime, end: datetime) -> int:
        """How many buckets there are between two starts."""
        if self is Bucket.MONTH:
            return (end.year - start.year) * 12 + end.month - start.month
        return (end - start) // _LENGTHS[self]


_LENGTHS = {
    Bucket.HOUR: timedelta(hours=1),
    Bucket.DAY: timedelta(days=1),
    Bucket.WEEK: timedelta(weeks=1),
}

DEFAULT_BUCKETS = {Bucket.HOUR: 24, Bucket.DAY: 30, Bucket.WEEK: 26, Bucket.MONTH: 24}
"""How many buckets before the end are counted where no start is given."""


@dataclass(frozen=True, slots=True)
class StatsQuery:
    """What is counted: whole buckets from `start` to before `end`."""

    bucket: Bucket
    start: datetime
    end: datetime
    event_types: Sequence[str] = ()
    platforms: Sequence[str] = ()
    by_event_type: bool = False
    by_platform: bool = False


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many events there are in a bucket; `start` is ISO 8601 text."""

    start: str
    event_type: str | None
    platform: str | None
    count: int


class TooManyCounts(InvalidRequest):
    """The answer would be too long."""

    def __init__(self) -> None:
        super().__init__(
            "bucket", f"leads to more than {MOST_COUNTS} counts; ask for a shorter time, larger "
            "buckets, or fewer types and platforms",
        )  # fmt: skip
