"""People, links and consent, and what can go wrong with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from svckit import ids
from svckit.errors import AlreadyExists, Conflict, InvalidRequest, NotFound

State = Literal["unset", "granted", "denied"]


@dataclass(frozen=True, slots=True)
class Account:
    """An id on a platform, normalised; `original` is the id as it was given."""

    platform: str
    platform_id: str
    original: str


@dataclass(frozen=True, slots=True)
class Consent:
    """Decisions by purpose; a purpose that is not there is unset."""

    purposes: Mapping[str, State]
    version: int


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
class Person:
    """Somebody the app knows; `subject_ids` are the ids their past is found under."""

    person_id: str
    created_at: datetime
    last_seen_at: datetime | None
    metadata: Mapping[str, Any]
    consent: Consent
    subject_ids: list[str]
    etag: str


@dataclass(frozen=True, slots=True)
class Link:
    """One tenure of one platform id."""

    link_id: str
    person_id: str
    platform: str
    platform_id: str
    original_platform_id: str
    verified: bool
    created_at: datetime
    ended_at: datetime | None
    registration_pending: bool


@dataclass(frozen=True, slots=True)
class Linked:
    """The outcome of linking; `created` says whether it made the link."""

    link: Link
    created: bool


class LinkPlace(NamedTuple):
    """Where a page of links ended; links are listed by these two, oldest first."""

    created_at: datetime
    link_id: str


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


class LinkTaken(AlreadyExists):
    """The platform id is somebody else's; whose is not the caller's business."""

    reason = "LINK_TAKEN"

    def __init__(self, account: Account) -> None:
        super().__init__(
            f"this id on {account.platform} is linked to somebody else",
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


class MetadataTooLarge(InvalidRequest):
    """A patch would make a person's metadata larger than it may be."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__("metadata", f"would be larger than {most_bytes} bytes after the change")
