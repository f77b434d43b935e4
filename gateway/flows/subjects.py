"""A person expands to subjects: the ids under which their past is found."""

from collections.abc import Sequence

from gateway.clients import Identity
from svckit.errors import FailedPrecondition

MOST_SUBJECTS = 1000


class TooManySubjects(FailedPrecondition):
    """A person's past is spread over more links than one read can take."""

    reason = "TOO_MANY_SUBJECTS"

    def __init__(self, person_id: str, subjects: int) -> None:
        super().__init__(
            f"person {person_id} has {subjects} subjects; at most {MOST_SUBJECTS} can be read",
            person_id=person_id,
            subjects=subjects,
        )


async def subjects_of(identity: Identity, person_id: str | None) -> Sequence[str]:
    """The subjects of a person, by any of their ids; none for nobody in particular.

    Raises PersonNotFound, TooManySubjects.
    """
    if person_id is None:
        return []
    subjects = await identity.subjects(person_id)
    if len(subjects) > MOST_SUBJECTS:
        raise TooManySubjects(person_id, len(subjects))
    return subjects
