"""Answers about events."""

from typing import Any

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import EVENT, LINK, TIME, example
from gateway.models.common import ADA

EVENT_EXAMPLE: dict[str, Any] = {
    "event_id": EVENT,
    "position": 4711,
    "event_type": "message",
    "platform": "telegram",
    "person_id": ADA,
    "link_id": LINK,
    "group_id": None,
    "session_id": None,
    "session_key": None,
    "content": {"text": "I moved to Lisbon.", "role": "user", "message_id": "1199"},
    "metadata": {"kith": {"knowledge": {"wanted": True, "reason": "relevant"}}},
    "occurred_at": TIME,
    "created_at": TIME,
    "consent_version": 0,
    "redacted_at": None,
    "redaction_reason": None,
}


@with_config(example(EVENT_EXAMPLE))
class EventAnswer(TypedDict):
    """An entry of the log; one that was redacted has no content and no metadata any more."""

    event_id: str
    position: int
    event_type: str
    platform: str
    person_id: str | None
    link_id: str | None
    group_id: str | None
    session_id: str | None
    session_key: str | None
    content: dict[str, Any]
    metadata: dict[str, Any]
    occurred_at: str | None
    created_at: str | None
    consent_version: int
    redacted_at: str | None
    redaction_reason: str | None


class EventsAnswer(TypedDict):
    """One page; `next_page_token` is null on the last.

    `position` is where a reader goes on with `after`; null where the newest come first.
    """

    events: list[EventAnswer]
    next_page_token: str | None
    position: int | None


class FoundEventsAnswer(TypedDict):
    """One page, newest first; a short one, even an empty one, is only the last without a token."""

    events: list[EventAnswer]
    next_page_token: str | None


_LOGGED = {"event_id": EVENT, "position": 4711, "created_at": TIME, "duplicate": False}


@with_config(example(_LOGGED))
class LoggedAnswer(TypedDict):
    """Where an event stands in the log; of one that was erased only the id is known."""

    event_id: str
    position: int | None
    created_at: str | None
    duplicate: bool


@with_config(example({"events": [_LOGGED]}))
class LoggedBatchAnswer(TypedDict):
    """Where each event stands, in order."""

    events: list[LoggedAnswer]


_COUNT = {"start": "2026-03-01T00:00:00Z", "event_type": "message", "platform": None, "count": 12}


@with_config(example(_COUNT))
class CountAnswer(TypedDict):
    """How many events there are in a bucket; null stands for all types, all platforms."""

    start: str | None
    event_type: str | None
    platform: str | None
    count: int


@with_config(example({"counts": [_COUNT], "total": 12}))
class StatsAnswer(TypedDict):
    """The counts that are not 0, by time, type and platform, and how many events in all."""

    counts: list[CountAnswer]
    total: int


@with_config(example({"redacted_ids": [EVENT]}))
class RedactedAnswer(TypedDict):
    """The events that this call redacted."""

    redacted_ids: list[str]
