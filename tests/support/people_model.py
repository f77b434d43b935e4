"""What identity promises, as plain data in memory: what a model-based test compares with."""

from collections.abc import Iterable
from dataclasses import dataclass, field

STRICTEST_LAST = ("granted", "unset", "denied")


@dataclass
class Row:
    """Somebody as they were first known; who they are now is where `merged_into` ends."""

    person_id: str
    registered: bool
    merged_into: str | None = None
    consent: dict[str, str] = field(default_factory=dict)


@dataclass
class Tenure:
    """A link: one account, one row, for a time."""

    link_id: str
    account: str
    person_id: str
    is_open: bool = True


@dataclass(frozen=True)
class Logged:
    """An event under its subject."""

    position: int
    event_id: str
    subject_id: str


class Taken(Exception):
    """The account is somebody else's."""


@dataclass
class People:
    """Everybody, their links and their events."""

    rows: dict[str, Row] = field(default_factory=dict)
    tenures: list[Tenure] = field(default_factory=list)
    events: list[Logged] = field(default_factory=list)

    def root(self, person_id: str) -> str:
        """Who somebody is now."""
        while (target := self.rows[person_id].merged_into) is not None:
            person_id = target
        return person_id

    def roots(self) -> list[str]:
        """Everybody who is who they are."""
        return [person_id for person_id, row in self.rows.items() if row.merged_into is None]

    def aliases(self, person_id: str) -> set[str]:
        """Every id of the one person that somebody is now."""
        root = self.root(person_id)
        return {other for other in self.rows if self.root(other) == root}

    def tenures_of(self, person_id: str) -> list[Tenure]:
        """Every link of the person, ended ones too."""
        aliases = self.aliases(person_id)
        return [tenure for tenure in self.tenures if tenure.person_id in aliases]

    def holder(self, account: str) -> Tenure | None:
        """The open link of an account."""
        return next((t for t in self.tenures if t.account == account and t.is_open), None)

    def subjects(self, person_id: str) -> set[str]:
        """Where the person's past is found."""
        return self.aliases(person_id) | {t.link_id for t in self.tenures_of(person_id)}

    def timeline(self, person_id: str) -> list[str]:
        """The ids of the person's events, newest first."""
        subjects = self.subjects(person_id)
        mine = [event for event in self.events if event.subject_id in subjects]
        return [e.event_id for e in sorted(mine, key=lambda e: e.position, reverse=True)]

    def consent(self, person_id: str) -> dict[str, str]:
        """The strictest decision of all who are one; what is unset is left out."""
        decisions = [self.rows[alias].consent for alias in self.aliases(person_id)]
        purposes: Iterable[str] = {purpose for given in decisions for purpose in given}
        strictest = {
            purpose: max(
                (given.get(purpose, "unset") for given in decisions), key=STRICTEST_LAST.index
            )
            for purpose in purposes
        }
        return {purpose: state for purpose, state in strictest.items() if state != "unset"}

    def add(self, person_id: str, *, registered: bool) -> None:
        """Somebody new."""
        assert person_id not in self.rows
        self.rows[person_id] = Row(person_id, registered)

    def open(self, account: str, person_id: str, link_id: str) -> None:
        """Give a row an account that nobody holds."""
        assert self.holder(account) is None
        assert all(tenure.link_id != link_id for tenure in self.tenures)
        self.tenures.append(Tenure(link_id, account, person_id))

    def join_by_proof(self, person_id: str, account: str) -> Tenure | None:
        """What linking an account that is held does: None where nobody holds it."""
        held = self.holder(account)
        if held is not None and (holder := self.root(held.person_id)) != self.root(person_id):
            if not self.rows[holder].registered:
                raise Taken
            self.merge(holder, person_id)
        return held

    def merge(self, source: str, target: str) -> bool:
        """Make two one; False where they are."""
        source, target = self.root(source), self.root(target)
        if source == target:
            return False
        self.rows[source].merged_into = target
        return True

    def decide(self, person_id: str, purpose: str, state: str) -> None:
        """A decision of everybody who is one with somebody."""
        for alias in self.aliases(person_id):
            self.rows[alias].consent[purpose] = state
