"""What is taken away from the log, and the notices that tell of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from event_svc.domain.log import Event, EventFilter
from event_svc.domain.subscriptions import Entry

# The reason that erasure writes, and no redaction may give.
ERASED = "erased"

# Notices are events that the service itself logs.
NOTICE_PLATFORM = "kith"
NOTICE_TYPES = frozenset({"redaction", "erasure"})


@dataclass(frozen=True, slots=True)
class ErasureStep:
    """What a step of an erasure did, what all of them did so far, and whether more is left."""

    erased: int
    erased_in_all: int
    more: bool


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of subjects: events that still say something, all events, and values."""

    readable: int
    total: int
    projection_values: int


@dataclass(frozen=True, slots=True)
class TakenAway:
    """What notices tell of: events at some positions, and those of subjects that were logged
    before a position.
    """

    positions: frozenset[int]
    before: Mapping[str, int]

    def __bool__(self) -> bool:
        return bool(self.positions or self.before)

    def __contains__(self, entry: Entry) -> bool:
        is_before = entry.position < self.before.get(entry.subject_id or "", 0)
        return is_before or entry.position in self.positions


def taken_away(events: Iterable[Event]) -> TakenAway:
    """What the notices among some events tell of."""
    positions: set[int] = set()
    before: dict[str, int] = {}
    for notice in events:
        if not is_notice(notice.platform, notice.event_type):
            continue
        if notice.event_type == "redaction":
            # Older logs may hold what only looks like a notice, and says what its author liked.
            told = notice.content.get("positions")
            if isinstance(told, list):
                positions.update(each for each in told if isinstance(each, int))
        elif notice.subject_id is not None:
            before[notice.subject_id] = notice.position
    return TakenAway(frozenset(positions), before)


def shown(events: Sequence[Event], chosen: EventFilter) -> Sequence[Event]:
    """The events that a reader of somebody's past is shown: without notices.

    Whoever asks for types gets what they ask for, and whoever reads the whole log gets
    all of it.
    """
    is_scoped = chosen.subject_ids or chosen.group_id or chosen.session_id
    if not is_scoped or chosen.event_types:
        return events
    return [event for event in events if not is_notice(event.platform, event.event_type)]


def is_notice(platform: str, event_type: str) -> bool:
    """Whether such events are the service's own, which nobody else may log."""
    return platform == NOTICE_PLATFORM and event_type in NOTICE_TYPES
