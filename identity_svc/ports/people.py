"""What identity needs from outside: a store of people, and of who is behind an account."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from identity_svc.domain.links import Link, LinkPlace
from identity_svc.domain.people import (
    Account,
    Created,
    Creation,
    Identity,
    LinkNotFound,
    Person,
    PersonFilter,
    PersonNotFound,
    PersonPlace,
    Registered,
    Registration,
)


class IdentityStore(Protocol):
    """People, and the accounts that lead to them.

    At any time an account has at most one open link. A person may be asked for by the id of
    anybody merged into them, and is answered as they are now. Every method may be repeated
    with the same arguments, and answers as it did the first time. All raise Unavailable
    where the store cannot be reached.
    """

    async def register(self, registrations: Sequence[Registration]) -> list[Registered]:
        """Find or create the people behind accounts: independent requests, one answer each.

        However many calls register one account at once, there is one person and one
        link, and one request is told that it created them. Consent is stored at creation;
        for a person who is there it fills only purposes that were never decided, by each of
        those merged for themselves; raises TooManyPurposes where these would be too many. Links
        made here are pending until `confirm`.
        """
        ...

    async def create(self, creation: Creation, *, etag: str) -> Created:
        """Create somebody without an account, with this etag.

        Under an id that is there already, the same body answers the person as they are now.
        Raises PersonConflict where the id was used for anything else.
        """
        ...

    async def resolve(self, accounts: Sequence[Account]) -> list[Identity | LinkNotFound]:
        """Who holds accounts now: one answer each, in order."""
        ...

    async def get(
        self, person_ids: Sequence[str], *, whole: bool = True
    ) -> list[Person | PersonNotFound]:
        """People by their ids: one answer each, in order.

        `person_ids` of a person are their own, then those of everyone merged into them,
        oldest merge first; their subjects are, for each of these in this order, the id and
        then those of the links made for it, oldest first. Those merged and merges are oldest
        first, of merges the last 100. Not `whole` spares what a reader of subjects and consent
        does not need.
        """
        ...

    async def find(
        self, wanted: PersonFilter, *, after: PersonPlace | None, limit: int
    ) -> list[Person]:
        """Up to `limit` people as they are now behind a place, oldest first.

        Those merged into others are not found by themselves: their links count as the
        person's, their metadata and their own last-seen times do not.
        """
        ...

    async def update(
        self, person_id: str, patch: Mapping[str, Any], *, etag: str | None, new_etag: str
    ) -> Person:
        """Apply a JSON merge patch (RFC 7396) to the metadata of the person as they are now.

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

    async def confirm(self, link_ids: Sequence[str]) -> None:
        """Make links no longer pending; unknown ids are ignored."""
        ...

    async def pending(
        self, *, created_before: datetime | None, after: LinkPlace | None, limit: int
    ) -> list[Link]:
        """Up to `limit` pending links behind a place, oldest first."""
        ...
