"""Answers about what is known."""

from typing import Any

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import EVENT, KNOWLEDGE, TIME, example
from gateway.models.common import ADA


class KinAnswer(TypedDict):
    """A word of the query that the item has not, and what counted for it in part."""

    asked: str
    found: str
    share: float


@with_config(
    example(
        {
            "keyword": 2.1, "semantic": 0.71, "conversation": 0.12, "rerank": None,
            "kin": [{"asked": "live", "found": "moved", "share": 0.43}],
        }
    )
)  # fmt: skip
class ScoresAnswer(TypedDict):
    """What went into a score; null where it was not computed."""

    keyword: float | None
    semantic: float | None
    conversation: float | None
    kin: list[KinAnswer]
    rerank: float | None


@with_config(
    example(
        {
            "chunk_number": 17, "page": 4, "start": 812, "end": 1644, "speakers": [],
            "seconds": None,
        }
    )
)  # fmt: skip
class PlaceAnswer(TypedDict):
    """Where in a document a piece of its text stands: characters of the page, or where there are no
    pages, of the document.
    """

    chunk_number: int
    page: int | None
    start: int
    end: int
    speakers: list[str]
    seconds: float | None


class ItemAnswer(TypedDict):
    """What is known, and where it comes from."""

    knowledge_id: str
    content: str
    namespace: str
    metadata: dict[str, Any]
    person_id: str | None
    group_id: str | None
    session_id: str | None
    platform: str | None
    occurred_at: str | None
    source_event_id: str | None
    source_position: int | None
    document_id: str | None
    place: PlaceAnswer | None
    index_state: str


class NeighbourAnswer(ItemAnswer):
    """An item beside a hit: so many places after it in its session, or before it."""

    distance: int


@with_config(
    example(
        {
            "knowledge_id": KNOWLEDGE,
            "content": "I moved to Lisbon last week, and I love it.",
            "score": 0.87,
            "scores": {
                "keyword": 2.1,
                "semantic": 0.71,
                "conversation": 0.12,
                "kin": [{"asked": "live", "found": "moved", "share": 0.43}],
                "rerank": None,
            },
            "namespace": "messages",
            "metadata": {"mood": "happy"},
            "person_id": ADA,
            "group_id": None,
            "session_id": None,
            "platform": "telegram",
            "occurred_at": TIME,
            "source_event_id": EVENT,
            "source_position": 4711,
            "document_id": None,
            "place": None,
            "index_state": "indexed",
            "beside": [],
        }
    )
)
class HitAnswer(ItemAnswer):
    """One item found, why, and what stands beside it."""

    score: float
    scores: ScoresAnswer
    beside: list[NeighbourAnswer]


class SearchAnswer(TypedDict):
    """The hits, best first; which of `at_least` are pending; whether words alone were gone by, and
    whether a reranker put them in order.
    """

    hits: list[HitAnswer]
    pending: list[str]
    degraded: bool
    reranked: bool
