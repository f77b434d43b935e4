"""Spaces as an operator sees them, and what can be wrong with a change of spaces."""

from dataclasses import dataclass
from typing import Literal

from knowledge_svc.domain.items import Space
from svckit.errors import FailedPrecondition, NotFound

SpaceState = Literal["building", "serving", "standby", "dropping"]

# What a space is for that follows the writes of the serving one.
PARTNER: tuple[SpaceState, ...] = ("building", "standby")


class SpaceNotFound(NotFound):
    """There is no such space."""

    reason = "SPACE_NOT_FOUND"

    def __init__(self, space: str) -> None:
        super().__init__(f"there is no space {space!r}", space=space)


class SpaceNotReady(FailedPrecondition):
    """The space is in no state for what is asked."""

    reason = "SPACE_NOT_READY"

    def __init__(self, space: str, state: str) -> None:
        super().__init__(f"space {space!r} is {_WHY.get(state, state)}", space=space, state=state)


class NothingToReindex(FailedPrecondition):
    """There is no embedder to build a space for."""

    reason = "NOTHING_TO_REINDEX"

    def __init__(self) -> None:
        super().__init__(
            "nothing to build for is configured: set KITH_NEXT_EMBEDDER to a model other than "
            "the one that serves"
        )


_WHY = {
    "building": "being built and has not caught up",
    "serving": "the one that serves",
    "standby": "standing by; drop it first, or let it catch up if it is to serve",
    "dropping": "being removed",
    "": "needed and there is none that stands by",
}


@dataclass(frozen=True)
class SpaceStatus:
    """How a space stands; `created_at` is ISO 8601.

    `has_caught_up`: all that was written before it was begun, or more than five seconds ago, is in
    it or was given up.
    """

    space: Space
    state: SpaceState
    created_at: str
    indexed_items: int
    pending_items: int
    failed_items: int
    has_caught_up: bool
