"""Answers about groups."""

from typing import Any

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import ETAG, GROUP, TIME, example
from gateway.models.common import ADA

_GROUP: dict[str, Any] = {
    "group_id": GROUP,
    "kind": "household",
    "name": "Rua das Flores 7",
    "metadata": {},
    "member_count": 1,
    "created_at": TIME,
    "etag": ETAG,
}


@with_config(example(_GROUP))
class GroupAnswer(TypedDict):
    """Several people together; merged people count once."""

    group_id: str
    kind: str
    name: str
    metadata: dict[str, Any]
    member_count: int
    created_at: str | None
    etag: str


class GroupsAnswer(TypedDict):
    """One page, in order of creation; `next_page_token` is null on the last."""

    groups: list[GroupAnswer]
    next_page_token: str | None


_MEMBER: dict[str, Any] = {"person_id": ADA, "role": "owner", "joined_at": TIME}


@with_config(example(_MEMBER))
class MemberAnswer(TypedDict):
    """A person in a group, as of now; `role` is null where there is none."""

    person_id: str
    role: str | None
    joined_at: str | None


@with_config(example({**_MEMBER, "joined": True}))
class JoinedAnswer(MemberAnswer):
    """A member, and whether this call made them join."""

    joined: bool


class MembersAnswer(TypedDict):
    """One page, in order of joining; `next_page_token` is null on the last."""

    members: list[MemberAnswer]
    next_page_token: str | None


@with_config(example({"removed": True}))
class RemovedAnswer(TypedDict):
    """Whether this call made them leave."""

    removed: bool
