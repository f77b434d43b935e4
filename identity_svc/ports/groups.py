"""What identity needs from outside for groups: a store of them and of who is in them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from identity_svc.domain.groups import Group, GroupCreated, Member, MemberAdded, NewGroup
from identity_svc.domain.places import Place


class GroupStore(Protocol):
    """Groups and their members.

    A member is stored by the id by which they joined and seen as the person they are now.
    People who were merged are one member: since the first of them joined, with the role
    that was given last of those that are not empty. Unmerged, each is a member again. Every
    method may be repeated with the same arguments, and answers as it did the first time,
    unless it says otherwise. Whatever changes who is in a group raises PersonErasing for
    people who are being erased.
    """

    async def create(self, group: NewGroup, *, call_id: str) -> GroupCreated:
        """Create a group with its members, or answer the one that is there.

        Raises PersonNotFound, naming the first who is not there, and GroupConflict where
        the id was used with another body.
        """
        ...

    async def get(self, group_id: str) -> Group:
        """One group; raises GroupNotFound."""
        ...

    async def update(
        self,
        group_id: str,
        *,
        name: str | None,
        patch: Mapping[str, Any],
        etag: str | None,
        new_etag: str,
    ) -> Group:
        """Change a group's name, unless None, and its metadata by JSON merge patch.

        A change that changes nothing keeps the etag. Raises GroupNotFound,
        GroupEtagMismatch and MetadataTooLarge.
        """
        ...

    async def add(self, group_id: str, person_id: str, *, role: str, call_id: str) -> MemberAdded:
        """Have a person join, or change the role of one who has.

        The role becomes that of every id by which the person is in the group, so that it
        stays theirs when they are unmerged. Raises GroupNotFound, PersonNotFound, GroupFull.
        """
        ...

    async def remove(self, group_id: str, person_id: str) -> bool:
        """Have a person leave, by whichever ids they joined.

        Answers whether anybody left, so a repetition answers False. Raises GroupNotFound and
        PersonNotFound.
        """
        ...

    async def members(self, group_id: str, *, after: Place | None, limit: int) -> Sequence[Member]:
        """Up to `limit` members behind a place, in order of joining; raises GroupNotFound."""
        ...

    async def list(
        self, *, person_id: str | None, kind: str | None, after: Place | None, limit: int
    ) -> Sequence[Group]:
        """Up to `limit` groups behind a place, in order of creation.

        Those that a person is in, by any of their ids, and those of a kind; None is any.
        Raises PersonNotFound.
        """
        ...
