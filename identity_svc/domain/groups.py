"""Groups of people, and what can go wrong with them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from svckit import ids
from svckit.errors import Conflict, FailedPrecondition, NotFound

# Of ids, so that people who were merged still fit when they are unmerged.
MOST_MEMBERS = 10_000


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group to create, with whom in it; `group_id` is the client's or a new one."""

    kind: str
    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    person_ids: Sequence[str] = ()
    group_id: str = field(default_factory=ids.new)

    @property
    def body_hash(self) -> str:
        """What tells a repetition from another group under the same id.

        The order of the members, and naming one twice, makes no difference.
        """
        body = [self.kind, self.name, self.metadata, sorted(set(self.person_ids))]
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Group:
    """Several people together; `member_count` counts people who were merged once."""

    group_id: str
    kind: str
    name: str
    metadata: Mapping[str, Any]
    created_at: datetime
    etag: str
    member_count: int


@dataclass(frozen=True, slots=True)
class GroupCreated:
    """The outcome of creating a group; `created` says whether this call did."""

    group: Group
    created: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A person in a group, as they are now.

    `row_id` is the id by which they joined first; with `joined_at` it is their place among
    the members.
    """

    person_id: str
    role: str
    joined_at: datetime
    row_id: str


@dataclass(frozen=True, slots=True)
class MemberAdded:
    """The outcome of adding a member; `joined` says whether this call made them join."""

    member: Member
    joined: bool


class GroupNotFound(NotFound):
    """There is no such group."""

    reason = "GROUP_NOT_FOUND"

    def __init__(self, group_id: str) -> None:
        super().__init__(f"there is no group {group_id}", group_id=group_id)


class GroupEtagMismatch(Conflict):
    """The group has changed since the etag was read."""

    reason = "ETAG_MISMATCH"

    def __init__(self, group_id: str) -> None:
        super().__init__(f"group {group_id} has changed since the etag was read", group_id=group_id)


class GroupConflict(Conflict):
    """The id is that of a group that was created with another body."""

    reason = "IDEMPOTENCY_CONFLICT"

    def __init__(self, group_id: str) -> None:
        super().__init__(f"group {group_id} was created with another body", group_id=group_id)


class GroupFull(FailedPrecondition):
    """The group has as many members as it may have."""

    reason = "GROUP_FULL"

    def __init__(self, group_id: str) -> None:
        super().__init__(
            f"group {group_id} has {MOST_MEMBERS} members, which is the most", group_id=group_id
        )
