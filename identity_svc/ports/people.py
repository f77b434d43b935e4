"""What identity needs from outside: a store of people and their links."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from identity_svc.domain.people import (
    Account,
    Identity,
    Link,
    Linked,
    LinkNotFound,
    LinkPlace,
    Person,
    PersonNotFound,
    Registered,
    Registration,
)


class IdentityStore(Protocol):
    """People, their links and their consent.

    At any time an account has at most one open link. Every method may be repeated with
    the same arguments, and answers as it did the first time. All raise Unavailable where
    the store cannot be reached.
    """

    async def register(self, registrations: Sequence[Registration]) -> list[Registered]:
        """Find or create the people behind accounts: independent requests, one answer each.

        However many calls register one account at once, there is one person and one
        link, and one request is told that it created them. Consent is stored at creation;
        for a person who is there it fills only purposes that were never decided. Links
        made here are pending until `confirm`.
        """
        ...

    async def resolve(self, accounts: Sequence[Account]) -> list[Identity | LinkNotFound]:
        """Who holds accounts now: one answer each, in order."""
        ...

    async def get(self, person_ids: Sequence[str]) -> list[Person | PersonNotFound]:
        """People by their ids: one answer each, in order.

        A person's subjects are their own id, then those of their links, oldest first.
        """
        ...

    async def update(
        self, person_id: str, patch: Mapping[str, Any], *, etag: str | None, new_etag: str
    ) -> Person:
        """Apply a JSON merge patch (RFC 7396) to a person's metadata.

        A patch that changes nothing keeps the etag; otherwise it becomes `new_etag`.
        Raises PersonNotFound, EtagMismatch where `etag` is given and is not the person's,
        and MetadataTooLarge.
        """
        ...

    async def touch(self, person_ids: Sequence[str]) -> dict[str, float]:
        """Record that people were seen just now, if the record is older than a minute.

        Answers how old, in seconds, each one's record is afterwards. A person who was
        never seen (their row was locked) or does not exist is left out.
        """
        ...

    async def link(
        self, person_id: str, account: Account, *, verified: bool, link_id: str
    ) -> Linked:
        """Give a person an account, as link `link_id` where it is not theirs already.

        `verified` is only ever raised. Raises PersonNotFound, and LinkTaken where
        somebody else holds the account.
        """
        ...

    async def links(self, person_id: str, *, after: LinkPlace | None, limit: int) -> list[Link]:
        """Up to `limit` of a person's links behind a place, oldest first, ended ones too.

        Raises PersonNotFound.
        """
        ...

    async def confirm(self, link_ids: Sequence[str]) -> None:
        """Make links no longer pending; unknown ids are ignored."""
        ...

    async def pending(
        self, *, created_before: datetime | None, after: LinkPlace | None, limit: int
    ) -> list[Link]:
        """Up to `limit` pending links behind a place, oldest first."""
        ...
