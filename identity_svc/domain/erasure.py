"""Erasures of people, and what can go wrong with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from svckit.errors import FailedPrecondition, NotFound

# In the order in which they are done; the last is identity's own.
Stage = Literal["knowledge", "events", "identity"]


@dataclass(frozen=True, slots=True)
class Step:
    """A stage that is done; counts are by kind, such as `events`."""

    stage: Stage
    recorded_at: datetime
    erased: Mapping[str, int] = field(default_factory=dict)
    remaining: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Erasure:
    """The record of erasing one person everywhere; ids and counts, and nothing else."""

    erasure_id: str
    person_ids: list[str]
    subject_ids: list[str]
    steps: list[Step]
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Started:
    """The outcome of starting an erasure; `started` says whether this call did."""

    erasure: Erasure
    started: bool


class ErasureNotFound(NotFound):
    """There is no such erasure, or none of such a person."""

    reason = "ERASURE_NOT_FOUND"

    def __init__(self, *, erasure_id: str = "", person_id: str = "") -> None:
        super().__init__(
            f"there is no erasure {erasure_id}"
            if erasure_id
            else f"there is no erasure of a person {person_id}",
            **({"erasure_id": erasure_id} if erasure_id else {"person_id": person_id}),
        )


class ErasureOutOfOrder(FailedPrecondition):
    """A step was recorded before the step that it follows."""

    reason = "ERASURE_OUT_OF_ORDER"

    def __init__(self, erasure_id: str, stage: Stage) -> None:
        super().__init__(
            f"the stage before {stage} of erasure {erasure_id} is not recorded yet",
            erasure_id=erasure_id,
        )


class PersonErasing(FailedPrecondition):
    """The person is being erased, or was; nothing about them changes any more."""

    reason = "PERSON_ERASING"

    def __init__(self, person_id: str, erasure_id: str) -> None:
        super().__init__(
            f"person {person_id} is being erased", person_id=person_id, erasure_id=erasure_id
        )
