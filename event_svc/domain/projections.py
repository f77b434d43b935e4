"""Projections: what they aggregate, where they stand, and what can go wrong with them."""

from collections.abc import Sequence
from dataclasses import dataclass

from svckit.errors import Conflict, InvalidRequest, NotFound

MOST_PROJECTIONS = 64


@dataclass(frozen=True, slots=True)
class Definition:
    """What to aggregate; `event_types` are sorted and differ, `key_path` may be empty."""

    name: str
    event_types: Sequence[str]
    value_path: Sequence[str]
    key_path: Sequence[str]


@dataclass(frozen=True, slots=True)
class Projection:
    """A definition, and how far older events are counted in."""

    definition: Definition
    since_position: int
    backfilled_position: int
    created_at: str

    @property
    def is_ready(self) -> bool:
        """Whether every event is counted."""
        return self.backfilled_position >= self.since_position


@dataclass(frozen=True, slots=True)
class ProjectionValue:
    """The aggregate of one key; `subject_id` is None where subjects were combined.

    `last` is unknown, with `last_position` 0, where the last event was redacted and those
    before it are no longer kept.
    """

    subject_id: str | None
    key: str
    count: int
    sum: float
    mean: float
    last: float | None
    last_position: int
    last_occurred_at: str | None


@dataclass(frozen=True, slots=True)
class ValueQuery:
    """Which values: of one key, or of all where it is None."""

    name: str
    subject_ids: Sequence[str]
    key: str | None
    combine: bool


@dataclass(frozen=True, slots=True)
class BackfillStep:
    """Whether there is work left after a step, and how many positions are to be counted."""

    more: bool
    remaining: int


class ProjectionNotFound(NotFound):
    """There is no projection of this name."""

    reason = "PROJECTION_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no projection {name}", projection=name)


class ProjectionConflict(Conflict):
    """A projection of this name counts something else."""

    reason = "PROJECTION_CONFLICT"

    def __init__(self, name: str) -> None:
        super().__init__(f"projection {name} is defined differently", projection=name)


class TooManyProjections(InvalidRequest):
    """There are as many projections as there may be."""

    def __init__(self) -> None:
        super().__init__(
            "projection", f"there are {MOST_PROJECTIONS} already, as many as there may be"
        )
