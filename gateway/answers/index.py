"""Answers about the index."""

from typing import Any, Literal

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import KNOWLEDGE, TIME, example

_SPACE: dict[str, Any] = {
    "space": "voyage_4_1024_whole_1",
    "model": "voyage-4",
    "dimension": 1024,
    "chunker": "whole-1",
    "state": "building",
    "created_at": TIME,
    "indexed_items": 1200,
    "pending_items": 300,
    "failed_items": 0,
}


@with_config(example(_SPACE))
class SpaceAnswer(TypedDict):
    """Vectors of one model, dimension and chunker, and how far they are."""

    space: str
    model: str
    dimension: int
    chunker: str
    state: Literal["building", "serving", "standby", "dropping"]
    created_at: str
    indexed_items: int
    pending_items: int
    failed_items: int


@with_config(example({"space": _SPACE, "started": True, "documents": 0}))
class ReindexAnswer(TypedDict):
    """The space that is built, and whether this call began it; or how many documents are read
    again.
    """

    space: SpaceAnswer | None
    started: bool
    documents: int


@with_config(
    example(
        {
            "backlog": 3,
            "oldest_pending_seconds": 0.4,
            "dead_letters": 0,
            "spaces": [{**_SPACE, "state": "serving"}],
        }
    )
)
class IndexAnswer(TypedDict):
    """What waits to be indexed, and the spaces, the serving one first."""

    backlog: int
    oldest_pending_seconds: float
    dead_letters: int
    spaces: list[SpaceAnswer]


@with_config(example({"dropped": True}))
class DroppedAnswer(TypedDict):
    """Whether this call began to remove the space."""

    dropped: bool


_LETTER: dict[str, Any] = {
    "knowledge_id": KNOWLEDGE,
    "namespace": "default",
    "error": "Refused: the text cannot be embedded",
    "attempts": 5,
    "failed_at": TIME,
    "pending_since": TIME,
    "space": "voyage_4_1024_whole_1",
}


class DeadLetterAnswer(TypedDict):
    """An item that the indexer gave up in a space, and why."""

    knowledge_id: str
    namespace: str
    error: str
    attempts: int
    failed_at: str
    pending_since: str
    space: str


@with_config(example({"dead_letters": [_LETTER], "total": 1, "next_page_token": None}))
class DeadLettersAnswer(TypedDict):
    """A page of what was given up, the last first, and how many there are in all."""

    dead_letters: list[DeadLetterAnswer]
    total: int
    next_page_token: str | None


@with_config(example({"replayed": 1}))
class ReplayedAnswer(TypedDict):
    """How many are to be tried again."""

    replayed: int
