"""Two people who turned out to be one, and what can go wrong with that."""

from dataclasses import dataclass

from identity_svc.domain.people import Merge, Person
from svckit.errors import FailedPrecondition, NotFound

# As many as a reader of events takes at once.
MOST_SUBJECTS = 1000


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome of merging: whether it made a merge, and by which the two are one."""

    person: Person
    merged: bool
    merge: Merge


@dataclass(frozen=True, slots=True)
class Unmerged:
    """The outcome of taking a merge back; `unmerged` says whether this call did."""

    merge: Merge
    unmerged: bool
    source: Person
    target: Person


class MergeNotFound(NotFound):
    """There is no such merge."""

    reason = "MERGE_NOT_FOUND"

    def __init__(self, merge_id: str) -> None:
        super().__init__(f"there is no merge {merge_id}", merge_id=merge_id)


class NotMerged(FailedPrecondition):
    """The person is nobody's alias."""

    reason = "NOT_MERGED"

    def __init__(self, person_id: str) -> None:
        super().__init__(f"person {person_id} is not merged into anybody", person_id=person_id)


class TooManySubjects(FailedPrecondition):
    """The person would have more subjects than readers of events take."""

    reason = "TOO_MANY_SUBJECTS"

    def __init__(self, person_id: str | None = None) -> None:
        super().__init__(
            f"the person would have more than {MOST_SUBJECTS} subjects",
            **({"person_id": person_id} if person_id else {}),
        )
