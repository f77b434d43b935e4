"""Events, the filters that choose them, and what can go wrong with them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from svckit.errors import Conflict, FailedPrecondition, InvalidRequest, NotFound

MOST_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be logged.

    `body` is what the client sent, in its one spelling, without what it left out: person_id,
    link_id, group_id, session_id, session_key, event_type, platform, content, metadata and
    occurred_at. `body_hash` tells whether a retry sends the same.
    """

    event_id: str
    body: Mapping[str, Any]
    body_hash: str
    consent_version: int = 0


def body_hash(body: Mapping[str, Any]) -> str:
    """The SHA-256 of a body's canonical JSON, in hexadecimal digits."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Append:
    """Events to be logged together or not at all; `bytes` is about how large they are."""

    events: Sequence[NewEvent]
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """Where an event stands; `duplicate` if an earlier call had logged it."""

    event_id: str
    position: int
    created_at: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the log; times are ISO 8601 text.

    What was redacted or erased has no content and metadata, and says when and why.
    """

    event_id: str
    position: int
    subject_id: str | None
    person_id: str | None
    link_id: str | None
    group_id: str | None
    session_id: str | None
    session_key: str | None
    event_type: str
    platform: str
    content: Mapping[str, Any]
    metadata: Mapping[str, Any]
    occurred_at: str
    created_at: str
    consent_version: int
    redacted_at: str | None = None
    redaction_reason: str | None = None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events: all that is set has to hold, of several values any will do."""

    subject_ids: Sequence[str] = ()
    group_id: str | None = None
    session_id: str | None = None
    event_types: Sequence[str] = ()
    platforms: Sequence[str] = ()
    occurred_from: str | None = None
    occurred_to: str | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of events; `more` tells whether others may follow.

    Every event committed from where the page began to `scanned_position`, in the direction of
    reading, has been looked at.
    """

    events: Sequence[Event]
    more: bool
    scanned_position: int


class EventNotFound(NotFound):
    """There is no event with this id."""

    reason = "EVENT_NOT_FOUND"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"there is no event {event_id}", event_id=event_id)


class IdempotencyConflict(Conflict):
    """The id belongs to an event with another body."""

    reason = "IDEMPOTENCY_CONFLICT"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"event {event_id} was logged with another body", event_id=event_id)


class SubjectErased(FailedPrecondition):
    """Nothing is logged about the subject any more."""

    reason = "SUBJECT_ERASED"

    def __init__(self, subject_id: str) -> None:
        super().__init__(f"subject {subject_id} was erased", subject_id=subject_id)


# What keeps one request out of the log, and no other.
Refusal = IdempotencyConflict | SubjectErased


class BeyondTheLog(InvalidRequest):
    """Whoever went on after this position would skip events that are still to be logged."""

    def __init__(self, field: str, head_position: int) -> None:
        super().__init__(field, f"is beyond the log's end, which is {head_position}")
