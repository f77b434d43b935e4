"""Answers about the index."""

from typing import Any, Literal

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import TIME, example

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
