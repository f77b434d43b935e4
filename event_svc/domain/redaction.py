"""What is taken away from the log, and the notices that tell of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from event_svc.domain.log import Event, EventFilter

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


def shown(events: Sequence[Event], chosen: EventFilter) -> Sequence[Event]:
    """The events that a reader of somebody's past is shown: without notices.

    Whoever asks for types gets what they ask for, and whoever reads the whole log gets
    all of it.
    """
    is_scoped = chosen.subject_ids or chosen.group_id or chosen.session_id
    if not is_scoped or chosen.event_types:
        return events
    return [event for event in events if not _is_notice(event)]


def _is_notice(event: Event) -> bool:
    return event.platform == NOTICE_PLATFORM and event.event_type in NOTICE_TYPES
