"""What people allow, and the decisions that made it so."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from svckit.errors import InvalidRequest

State = Literal["unset", "granted", "denied"]


@dataclass(frozen=True, slots=True)
class Consent:
    """What is allowed, by purpose; a purpose that is not there is unset.

    Of people who are one it is the strictest: denied over unset over granted. A person's
    version never falls, and grows whenever what they are answered changes.
    """

    purposes: Mapping[str, State]
    version: int


@dataclass(frozen=True, slots=True)
class ConsentChange:
    """One decision, and the version that it made."""

    person_id: str
    version: int
    purpose: str
    state: State
    source: str
    changed_at: datetime

    @property
    def place(self) -> "ConsentPlace":
        """Where it stands in a history."""
        return ConsentPlace(self.changed_at, self.version, self.person_id, self.purpose)


class ConsentPlace(NamedTuple):
    """Where a page of a history ended; changes are listed by these four, newest first."""

    changed_at: datetime
    version: int
    person_id: str
    purpose: str


class TooManyPurposes(InvalidRequest):
    """Somebody would have decided on more purposes than a person may."""

    def __init__(self, field: str, most: int) -> None:
        super().__init__(field, f"would make more than {most} purposes of this person")
