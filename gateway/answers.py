"""What the gateway answers: typed, documented, and rendered as plain dicts."""

from typing import Any, Literal

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from gateway.models import ADA

_LINK = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f31"
_EVENT = "3f0c5a52-5b0e-5d6a-8a3e-0d6a4f1b2c3d"
_KNOWLEDGE = "7d1e2f30-1a2b-5c3d-9e4f-5a6b7c8d9e0f"
_TIME = "2026-03-01T09:30:00Z"


def _example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


@with_config(_example({"field": "platform", "message": "is required"}))
class FieldError(TypedDict):
    """What is wrong with one field, by its path."""

    field: str
    message: str


@with_config(
    ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Bad Request",
                    "status": 400,
                    "detail": "platform: is required",
                    "reason": "INVALID_ARGUMENT",
                    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                    "errors": [{"field": "platform", "message": "is required"}],
                }
            ]
        },
    )
)
class ProblemAnswer(TypedDict, total=False):
    """An error (RFC 9457), as application/problem+json; a reason may bring members of its own."""

    type: str
    title: str
    status: int
    detail: str
    reason: str
    trace_id: str
    errors: list[FieldError]
    retry_after: int


@with_config(_example({"person_id": ADA, "link_id": _LINK, "created": True, "event_id": _EVENT}))
class RegistrationAnswer(TypedDict):
    """Who it is."""

    person_id: str
    link_id: str
    created: bool
    event_id: str


@with_config(
    _example(
        {
            "state": "stored",
            "knowledge_id": _KNOWLEDGE,
            "index_token": "b3BhcXVl",
            "reason": "relevant",
        }
    )
)
class KnowledgeAnswer(TypedDict):
    """What became of a message as knowledge, and why."""

    state: Literal["stored", "deferred", "skipped"]
    knowledge_id: str | None
    index_token: str | None
    reason: str


@with_config(
    _example(
        {
            "person_id": ADA,
            "event_id": _EVENT,
            "position": 4711,
            "duplicate": False,
            "knowledge": {
                "state": "stored",
                "knowledge_id": _KNOWLEDGE,
                "index_token": "b3BhcXVl",
                "reason": "relevant",
            },
        }
    )
)
class MessageAnswer(TypedDict):
    """Where a message stands."""

    person_id: str
    event_id: str
    position: int
    duplicate: bool
    knowledge: KnowledgeAnswer


class FailedMessage(TypedDict):
    """A message of a batch that could not be processed."""

    error: ProblemAnswer


class BatchAnswer(TypedDict):
    """One result for each message, in order."""

    results: list[MessageAnswer | FailedMessage]


@with_config(_example({"purposes": {"messages": "granted", "analytics": "denied"}, "version": 1}))
class ConsentAnswer(TypedDict):
    """Decisions by purpose; a purpose that is not listed is unset."""

    purposes: dict[str, str]
    version: int


@with_config(
    _example(
        {
            "person_id": ADA,
            "link_id": _LINK,
            "platform": "telegram",
            "platform_id": "42",
            "consent": {"purposes": {"messages": "granted"}, "version": 1},
        }
    )
)
class IdentityAnswer(TypedDict):
    """Who holds a platform id now."""

    person_id: str
    link_id: str
    platform: str
    platform_id: str
    consent: ConsentAnswer


@with_config(
    _example(
        {
            "person_id": ADA,
            "created_at": _TIME,
            "last_seen_at": None,
            "metadata": {"name": "Ada"},
            "consent": {"purposes": {}, "version": 0},
            "etag": "0192d3a5-0000-7000-8000-000000000001",
        }
    )
)
class PersonAnswer(TypedDict):
    """Somebody the app knows."""

    person_id: str
    created_at: str | None
    last_seen_at: str | None
    metadata: dict[str, Any]
    consent: ConsentAnswer
    etag: str


@with_config(
    _example(
        {
            "link_id": _LINK,
            "person_id": ADA,
            "platform": "telegram",
            "platform_id": "42",
            "original_platform_id": "42",
            "verified": False,
            "created_at": _TIME,
            "ended_at": None,
        }
    )
)
class LinkAnswer(TypedDict):
    """One tenure of one platform id; `ended_at` is null while it lasts."""

    link_id: str
    person_id: str
    platform: str
    platform_id: str
    original_platform_id: str
    verified: bool
    created_at: str | None
    ended_at: str | None


class NewLinkAnswer(LinkAnswer):
    """A link, and whether this call made it."""

    created: bool


class LinksAnswer(TypedDict):
    """One page, oldest first; `next_page_token` is null on the last."""

    links: list[LinkAnswer]
    next_page_token: str | None


@with_config(
    _example(
        {
            "event_id": _EVENT,
            "position": 4711,
            "event_type": "message",
            "platform": "telegram",
            "person_id": ADA,
            "link_id": _LINK,
            "group_id": None,
            "session_id": None,
            "session_key": None,
            "content": {"text": "I moved to Lisbon.", "role": "user", "message_id": "1199"},
            "metadata": {"kith": {"knowledge": {"wanted": True, "reason": "relevant"}}},
            "occurred_at": _TIME,
            "created_at": _TIME,
            "consent_version": 0,
        }
    )
)
class EventAnswer(TypedDict):
    """An entry of the log."""

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


class TimelineAnswer(TypedDict):
    """One page; `next_page_token` is null on the last."""

    events: list[EventAnswer]
    next_page_token: str | None


@with_config(_example({"keyword": 2.1, "semantic": 0.71}))
class ScoresAnswer(TypedDict):
    """What went into a score; null where it was not computed."""

    keyword: float | None
    semantic: float | None


@with_config(
    _example(
        {
            "knowledge_id": _KNOWLEDGE,
            "content": "I moved to Lisbon last week, and I love it.",
            "score": 0.87,
            "scores": {"keyword": 2.1, "semantic": 0.71},
            "namespace": "messages",
            "metadata": {"mood": "happy"},
            "person_id": ADA,
            "group_id": None,
            "session_id": None,
            "platform": "telegram",
            "occurred_at": _TIME,
            "source_event_id": _EVENT,
            "source_position": 4711,
            "index_state": "indexed",
        }
    )
)
class HitAnswer(TypedDict):
    """One item found, and where it comes from."""

    knowledge_id: str
    content: str
    score: float
    scores: ScoresAnswer
    namespace: str
    metadata: dict[str, Any]
    person_id: str | None
    group_id: str | None
    session_id: str | None
    platform: str | None
    occurred_at: str | None
    source_event_id: str | None
    source_position: int | None
    index_state: str


class SearchAnswer(TypedDict):
    """The hits, best first; which of `at_least` are pending; whether words alone were gone by."""

    hits: list[HitAnswer]
    pending: list[str]
    degraded: bool
