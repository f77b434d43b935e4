"""Builders for sessions, groups and verifications, and people who were merged."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from identity_svc.domain.groups import Group, Member, NewGroup
from identity_svc.domain.verification import Attempt, NewVerification, code_hash
from identity_svc.ports.groups import GroupStore
from svckit import ids

T = TypeVar("T")


async def merge(admin: Any, source: str, target: str) -> None:
    """Merge two people over an administrator's connection, in its transaction if it has one."""
    await admin.execute("SELECT identity.merge_persons($1, $2, $3, '')", ids.new(), source, target)


async def unmerge(admin: Any, source: str) -> None:
    """Take the merge back by which somebody is an alias."""
    await admin.execute("SELECT identity.unmerge_persons(NULL, $1, $2)", source, ids.new())


async def a_group(store: GroupStore, *person_ids: str, **changes: Any) -> Group:
    """A group with these people in it."""
    new = NewGroup(**{"kind": "household", "person_ids": person_ids, **changes})
    return (await store.create(new, call_id=ids.new())).group


async def join(store: GroupStore, group: Group, person_id: str, role: str = "") -> Member:
    """Have somebody join a group, or change their role."""
    added = await store.add(group.group_id, person_id, role=role, call_id=ids.new())
    return added.member


def an_attempt(verification: NewVerification, code: str | None = None) -> Attempt:
    """An attempt with the right code, unless another is given."""
    identifier = verification.verification_id
    return Attempt(identifier, code_hash(identifier, code or verification.code))


async def outcomes_of(calls: Sequence[Awaitable[T]]) -> tuple[list[T], list[Exception]]:
    """What came of calls made at once: answers, and errors."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    answers = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    return answers, [outcome for outcome in outcomes if isinstance(outcome, Exception)]
