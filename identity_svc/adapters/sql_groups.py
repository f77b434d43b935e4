"""Groups in Postgres, through the SQL functions of the schema `identity`."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from identity_svc.adapters.places import arguments_of
from identity_svc.adapters.sql_errors import told_as
from identity_svc.domain.groups import (
    MOST_MEMBERS,
    Group,
    GroupConflict,
    GroupCreated,
    GroupEtagMismatch,
    GroupFull,
    GroupNotFound,
    Member,
    MemberAdded,
    NewGroup,
)
from identity_svc.domain.people import MetadataTooLarge
from identity_svc.domain.places import Place
from svckit.fields import METADATA_BYTES
from svckit.sql import SqlFunctions

_created = TypeAdapter(GroupCreated)
_group = TypeAdapter(Group)
_groups = TypeAdapter(list[Group])
_added = TypeAdapter(MemberAdded)
_members = TypeAdapter(list[Member])


class SqlGroupStore:
    """The GroupStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def create(self, group: NewGroup, *, call_id: str) -> GroupCreated:
        row = await self._of_group(
            "create_group",
            group.group_id,
            kind=group.kind,
            name=group.name,
            metadata=dict(group.metadata),
            person_ids=list(group.person_ids),
            body_hash=group.body_hash,
            call_id=call_id,
        )
        return _created.validate_python(row)

    async def get(self, group_id: str) -> Group:
        return _group.validate_python(await self._of_group("get_group", group_id))

    async def update(
        self,
        group_id: str,
        *,
        name: str | None,
        patch: Mapping[str, Any],
        etag: str | None,
        new_etag: str,
    ) -> Group:
        row = await self._of_group(
            "update_group",
            group_id,
            name=name,
            patch=dict(patch),
            etag=etag,
            new_etag=new_etag,
            most_bytes=METADATA_BYTES,
        )
        return _group.validate_python(row)

    async def add(self, group_id: str, person_id: str, *, role: str, call_id: str) -> MemberAdded:
        row = await self._of_group(
            "add_group_member",
            group_id,
            person_id=person_id,
            role=role,
            call_id=call_id,
            most_members=MOST_MEMBERS,
        )
        return _added.validate_python(row)

    async def remove(self, group_id: str, person_id: str) -> bool:
        return bool(await self._of_group("remove_group_member", group_id, person_id=person_id))

    async def members(self, group_id: str, *, after: Place | None, limit: int) -> Sequence[Member]:
        rows = await self._of_group(
            "list_group_members",
            group_id,
            **arguments_of(after, "after_joined_at", "after_row_id"),
            page_limit=limit,
        )
        return _members.validate_python(rows)

    async def list(
        self, *, person_id: str | None, kind: str | None, after: Place | None, limit: int
    ) -> Sequence[Group]:
        with told_as():
            rows = await self._sql.call(
                "list_groups",
                person_id=person_id,
                kind=kind,
                **arguments_of(after, "after_created_at", "after_group_id"),
                page_limit=limit,
            )
        return _groups.validate_python(rows)

    async def _of_group(self, function: str, group_id: str, **arguments: Any) -> Any:
        with told_as(
            {
                "ZI001": lambda: GroupEtagMismatch(group_id),
                "ZI002": lambda: MetadataTooLarge(METADATA_BYTES),
                "ZI008": lambda: GroupConflict(group_id),
                "ZI024": lambda: GroupFull(group_id),
            }
        ):
            row = await self._sql.call(function, group_id=group_id, **arguments)
        if row is None:
            raise GroupNotFound(group_id)
        return row
