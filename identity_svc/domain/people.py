"""People and the accounts that lead to them, and what can go wrong with them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from identity_svc.domain.consent import Consent, State
from svckit import ids
from svckit.errors import Conflict, InvalidRequest, NotFound


@dataclass(frozen=True, slots=True)
class Account:
    """An id on a platform, normalised; `original` is the id as it was given."""

    platform: str
    platform_id: str
    original: str


@dataclass(frozen=True, slots=True)
class Registration:
    """Somebody to find, or to create with these ids.

    The ids are made once, so that a repeated call recognises its own work.
    """

    account: Account
    metadata: Mapping[str, Any] = field(default_factory=dict)
    consent: Mapping[str, State] = field(default_factory=dict)
    person_id: str = field(default_factory=ids.new)
    link_id: str = field(default_factory=ids.new)


@dataclass(frozen=True, slots=True)
class Identity:
    """What an open link leads to."""

    person_id: str
    link_id: str
    platform: str
    platform_id: str
    consent: Consent
    registration_pending: bool


@dataclass(frozen=True, slots=True)
class Registered:
    """The outcome of a registration; `created` says whether it made the person."""

    identity: Identity
    created: bool


@dataclass(frozen=True, slots=True)
class Creation:
    """Somebody to create under an id, which may be the client's own."""

    person_id: str
    metadata: Mapping[str, Any]
    consent: Mapping[str, State]

    @property
    def body_hash(self) -> str:
        """The SHA-256 of all but the id in canonical JSON, in hexadecimal digits."""
        body = [self.metadata, self.consent]
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Merge:
    """The source is the target's alias from `merged_at` until `unmerged_at`."""

    merge_id: str
    source_person_id: str
    target_person_id: str
    merged_at: datetime
    unmerged_at: datetime | None
    reason: str

    @property
    def person_ids(self) -> tuple[str, str]:
        """Both."""
        return (self.source_person_id, self.target_person_id)


@dataclass(frozen=True, slots=True)
class MergedPerson:
    """What somebody is by themselves while they are part of somebody else."""

    person_id: str
    merge_id: str
    created_at: datetime
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody the app knows, as they are now.

    `person_ids` are their own id and those of everyone merged into them, `subject_ids` what
    their past is found under. Of a person who was not asked for as a whole, `metadata` is
    None, and those merged and the merges are left out.
    """

    person_id: str
    created_at: datetime
    last_seen_at: datetime | None
    consent: Consent
    person_ids: list[str]
    subject_ids: list[str]
    etag: str
    metadata: Mapping[str, Any] | None = None
    merged_persons: list[MergedPerson] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)

    @property
    def place(self) -> "PersonPlace":
        """Where they stand in a list."""
        return PersonPlace(self.created_at, self.person_id)


@dataclass(frozen=True, slots=True)
class Created:
    """The outcome of creating somebody; `created` says whether this call did."""

    person: Person
    created: bool


@dataclass(frozen=True, slots=True)
class PersonFilter:
    """Which people to list; None leaves a condition out.

    `platform` is one of their open links, `metadata` a part of their own, and they were last
    seen from `seen_from` on and before `seen_to`.
    """

    platform: str | None = None
    metadata: Mapping[str, Any] | None = None
    seen_from: datetime | None = None
    seen_to: datetime | None = None


class PersonPlace(NamedTuple):
    """Where a page of people ended; people are listed by these two, oldest first."""

    created_at: datetime
    person_id: str


class PersonNotFound(NotFound):
    """There is no such person."""

    reason = "PERSON_NOT_FOUND"

    def __init__(self, person_id: str) -> None:
        super().__init__(f"there is no person {person_id}", person_id=person_id)


class LinkNotFound(NotFound):
    """No open link has this platform and id."""

    reason = "LINK_NOT_FOUND"

    def __init__(self, account: Account) -> None:
        super().__init__(
            f"nobody is linked to this id on {account.platform}",
            platform=account.platform,
            platform_id=account.platform_id,
        )


class EtagMismatch(Conflict):
    """The person has changed since the etag was read."""

    reason = "ETAG_MISMATCH"

    def __init__(self, person_id: str) -> None:
        super().__init__(
            f"person {person_id} has changed since the etag was read", person_id=person_id
        )


class PersonConflict(Conflict):
    """The id of somebody to be created stands for something else already."""

    reason = "IDEMPOTENCY_CONFLICT"

    def __init__(self, person_id: str) -> None:
        super().__init__(
            f"person_id {person_id} was used before, with another body", person_id=person_id
        )


class MetadataTooLarge(InvalidRequest):
    """A patch would make a person's metadata larger than it may be."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__("metadata", f"would be larger than {most_bytes} bytes after the change")
