"""Subscriptions: where they begin, what they are given, and what can go wrong with them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from event_svc.domain.log import BeyondTheLog, Event, EventFilter
from svckit.errors import FailedPrecondition, Unavailable

MOST_EVENTS = 1000
# Of a delivery; the least that grpc clients take in by default is 4 MiB.
MOST_BYTES = 1 << 20


class From(Enum):
    """Where a subscription begins if not after a position."""

    BEGINNING = "beginning"
    NOW = "now"


class Mark(Enum):
    """What a delivery is."""

    EVENTS = "events"
    CAUGHT_UP = "caught up"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True)
class LogBounds:
    """The log's end, and up to where retention has dropped it."""

    head_position: int
    expired_position: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a filter chose of a stretch of the log that ends at `scanned_position`.

    `at_end`: that was the log's end when it was read.
    """

    events: Sequence[Event]
    scanned_position: int
    at_end: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of an event for those who wait for it: what filters ask for, and `shown`,
    the event as subscribers get it, made once for all of them.
    """

    position: int
    subject_id: str | None
    group_id: str | None
    session_id: str | None
    event_type: str
    platform: str
    occurred_at: str
    shown: bytes

    @classmethod
    def of(cls, event: Event, shown: bytes) -> "Entry":
        """The entry of an event."""
        return cls(
            event.position, event.subject_id, event.group_id, event.session_id,
            event.event_type, event.platform, event.occurred_at, shown,
        )  # fmt: skip


class Delivery(NamedTuple):
    """What a subscriber is given: shown events, or a mark.

    Everything up to `position` has been looked at, and what is chosen of it delivered.
    """

    mark: Mark
    position: int
    shown: Sequence[bytes] = ()


def first_place(start: From | int, bounds: LogBounds) -> int:
    """The position after which a subscription begins; raises where there is no such place."""
    if start is From.BEGINNING:
        return bounds.expired_position
    if start is From.NOW:
        return bounds.head_position
    if start > bounds.head_position:
        raise BeyondTheLog("after_position", bounds.head_position)
    if start < bounds.expired_position:
        raise PositionExpired(start, bounds.expired_position)
    return start


class Choice:
    """A filter, ready to be asked about many events; by the same rules as the store's."""

    def __init__(self, chosen: EventFilter) -> None:
        self._subject_ids = frozenset(chosen.subject_ids)
        self._group_id = chosen.group_id
        self._session_id = chosen.session_id
        self._event_types = frozenset(chosen.event_types)
        self._platforms = frozenset(chosen.platforms)
        self._from = chosen.occurred_from and datetime.fromisoformat(chosen.occurred_from)
        self._to = chosen.occurred_to and datetime.fromisoformat(chosen.occurred_to)

    def __contains__(self, entry: Entry) -> bool:
        return (
            (not self._subject_ids or entry.subject_id in self._subject_ids)
            and (not self._group_id or entry.group_id == self._group_id)
            and (not self._session_id or entry.session_id == self._session_id)
            and (not self._event_types or entry.event_type in self._event_types)
            and (not self._platforms or entry.platform in self._platforms)
            and (not (self._from or self._to) or self._is_in_time(entry))
        )

    def _is_in_time(self, entry: Entry) -> bool:
        # As moments, since one has several spellings.
        moment = datetime.fromisoformat(entry.occurred_at)
        return (not self._from or moment >= self._from) and (not self._to or moment < self._to)

    def routes(self) -> set[tuple[str, str]]:
        """Where the filter is to be found: of an event it chooses, `routes_of` has just one."""
        if self._subject_ids:
            return {("subject", subject_id) for subject_id in self._subject_ids}
        if self._session_id:
            return {("session", self._session_id)}
        if self._group_id:
            return {("group", self._group_id)}
        if self._event_types:
            return {("type", event_type) for event_type in self._event_types}
        return {("platform", platform) for platform in self._platforms} or {_ANY}


_ANY = ("any", "")


def routes_of(entry: Entry) -> tuple[tuple[str, str | None], ...]:
    """Where those filters are to be found that may choose an event."""
    return (
        ("subject", entry.subject_id), ("session", entry.session_id), ("group", entry.group_id),
        ("type", entry.event_type), ("platform", entry.platform), _ANY,
    )  # fmt: skip


def deliveries(entries: Sequence[Entry], scanned_position: int) -> Iterator[Delivery]:
    """Entries in deliveries of bounded size; the last one reaches `scanned_position`."""
    shown: list[bytes] = []
    size = 0
    for index, entry in enumerate(entries):
        if shown and (len(shown) == MOST_EVENTS or size + len(entry.shown) > MOST_BYTES):
            yield Delivery(Mark.EVENTS, entries[index - 1].position, shown)
            shown, size = [], 0
        shown.append(entry.shown)
        size += len(entry.shown)
    if shown:
        yield Delivery(Mark.EVENTS, scanned_position, shown)


class PositionExpired(FailedPrecondition):
    """Retention has dropped events after this position."""

    reason = "POSITION_EXPIRED"

    def __init__(self, position: int, first_position: int) -> None:
        super().__init__(
            f"events after position {position} have been dropped; "
            f"the log begins after position {first_position}",
            position=position,
            first_position=first_position,
        )
        self.first_position = first_position


class Stopping(Unavailable):
    """This process is stopping; others, or this one when it is back, go on."""

    reason = "STOPPING"

    def __init__(self) -> None:
        super().__init__("the service is stopping", retry_after=0.1)
