"""Answers about what is known."""

from typing import Any

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import EVENT, KNOWLEDGE, TIME, example
from gateway.models.common import ADA


@with_config(example({"keyword": 2.1, "semantic": 0.71}))
class ScoresAnswer(TypedDict):
    """What went into a score; null where it was not computed."""

    keyword: float | None
    semantic: float | None


@with_config(
    example(
        {
            "knowledge_id": KNOWLEDGE,
            "content": "I moved to Lisbon last week, and I love it.",
            "score": 0.87,
            "scores": {"keyword": 2.1, "semantic": 0.71},
            "namespace": "messages",
            "metadata": {"mood": "happy"},
            "person_id": ADA,
            "group_id": None,
            "session_id": None,
            "platform": "telegram",
            "occurred_at": TIME,
            "source_event_id": EVENT,
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
