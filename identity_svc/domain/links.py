"""Tenures of platform ids, and what can go wrong with them."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from identity_svc.domain.people import Account, Merge
from svckit.errors import AlreadyExists, NotFound


@dataclass(frozen=True, slots=True)
class Link:
    """One tenure of one platform id, by the person as the link was made for them."""

    link_id: str
    person_id: str
    platform: str
    platform_id: str
    original_platform_id: str
    verified: bool
    created_at: datetime
    ended_at: datetime | None
    registration_pending: bool
    verified_at: datetime | None
    verification_method: str

    @property
    def place(self) -> "LinkPlace":
        """Where it stands in a list."""
        return LinkPlace(self.created_at, self.link_id)


@dataclass(frozen=True, slots=True)
class Linked:
    """The outcome of linking: whether it made the link, and the merge that it made."""

    link: Link
    created: bool
    merge: Merge | None

    @property
    def changed_ids(self) -> tuple[str, ...]:
        """Of the link and the people that it may have changed."""
        return (self.link.link_id, *(self.merge.person_ids if self.merge else ()))


class LinkPlace(NamedTuple):
    """Where a page of links ended; links are listed by these two, oldest first."""

    created_at: datetime
    link_id: str


class LinkTaken(AlreadyExists):
    """The platform id is somebody else's; whose is not the caller's business."""

    reason = "LINK_TAKEN"

    def __init__(self, account: Account) -> None:
        super().__init__(
            f"this id on {account.platform} is linked to somebody else",
            platform=account.platform,
            platform_id=account.platform_id,
        )


class NoSuchLink(NotFound):
    """The person has no link of this id."""

    reason = "LINK_NOT_FOUND"

    def __init__(self, link_id: str) -> None:
        super().__init__(f"the person has no link {link_id}", link_id=link_id)
