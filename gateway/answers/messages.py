"""Answers about messages."""

from typing import Literal

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import EVENT, KNOWLEDGE, ProblemAnswer, example
from gateway.models.common import ADA

_KEPT = {
    "state": "stored",
    "knowledge_id": KNOWLEDGE,
    "index_token": "b3BhcXVl",
    "reason": "relevant",
}


@with_config(example(_KEPT))
class KnowledgeAnswer(TypedDict):
    """What became of a message as knowledge, and why."""

    state: Literal["stored", "deferred", "skipped"]
    knowledge_id: str | None
    index_token: str | None
    reason: str


@with_config(
    example(
        {
            "person_id": ADA,
            "event_id": EVENT,
            "position": 4711,
            "duplicate": False,
            "knowledge": _KEPT,
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
