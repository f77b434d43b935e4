"""The part of IdentityService that keeps groups."""

from identity_svc.domain.places import Place
from identity_svc.ports.groups import GroupStore
from identity_svc.wire import groups as wire
from identity_svc.wire.places import page_of, place_of
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import fields, ids, pages, rpc


class Groups:
    """Groups and who is in them."""

    def __init__(self, store: GroupStore) -> None:
        self._store = store

    async def CreateGroup(
        self, request: pb.CreateGroupRequest, context: rpc.Context
    ) -> pb.CreateGroupResponse:
        made = await self._store.create(wire.to_new_group(request), call_id=ids.new())
        return pb.CreateGroupResponse(group=wire.from_group(made.group), created=made.created)

    async def GetGroup(
        self, request: pb.GetGroupRequest, context: rpc.Context
    ) -> pb.GetGroupResponse:
        group = await self._store.get(fields.uuid(request.group_id, "group_id"))
        return pb.GetGroupResponse(group=wire.from_group(group))

    async def UpdateGroup(
        self, request: pb.UpdateGroupRequest, context: rpc.Context
    ) -> pb.UpdateGroupResponse:
        group = await self._store.update(
            fields.uuid(request.group_id, "group_id"),
            name=wire.to_name(request),
            patch=fields.struct(request.metadata, "metadata"),
            etag=fields.text(request.etag, "etag", most=64, least=0) or None,
            new_etag=ids.new(),
        )
        return pb.UpdateGroupResponse(group=wire.from_group(group))

    async def AddGroupMember(
        self, request: pb.AddGroupMemberRequest, context: rpc.Context
    ) -> pb.AddGroupMemberResponse:
        added = await self._store.add(
            fields.uuid(request.group_id, "group_id"),
            fields.uuid(request.person_id, "person_id"),
            role=wire.to_role(request),
            call_id=ids.new(),
        )
        return pb.AddGroupMemberResponse(member=wire.from_member(added.member), joined=added.joined)

    async def RemoveGroupMember(
        self, request: pb.RemoveGroupMemberRequest, context: rpc.Context
    ) -> pb.RemoveGroupMemberResponse:
        removed = await self._store.remove(
            fields.uuid(request.group_id, "group_id"), fields.uuid(request.person_id, "person_id")
        )
        return pb.RemoveGroupMemberResponse(removed=removed)

    async def ListGroupMembers(
        self, request: pb.ListGroupMembersRequest, context: rpc.Context
    ) -> pb.ListGroupMembersResponse:
        group_id = fields.uuid(request.group_id, "group_id")
        limit = pages.size(request.page_size, default=50, most=500)
        query = ("members", group_id)
        after = place_of(Place, request.page_token, *query)

        members = await self._store.members(group_id, after=after, limit=limit + 1)
        page, token = page_of(
            members, limit, wire.from_member,
            lambda member: Place(member.joined_at, member.row_id), *query,
        )  # fmt: skip
        return pb.ListGroupMembersResponse(members=page, next_page_token=token)

    async def ListGroups(
        self, request: pb.ListGroupsRequest, context: rpc.Context
    ) -> pb.ListGroupsResponse:
        person_id = fields.optional_uuid(request.person_id, "person_id")
        kind = wire.to_kind(request)
        limit = pages.size(request.page_size, default=50, most=500)
        query = ("groups", person_id, kind)
        after = place_of(Place, request.page_token, *query)

        groups = await self._store.list(
            person_id=person_id, kind=kind, after=after, limit=limit + 1
        )
        page, token = page_of(
            groups, limit, wire.from_group,
            lambda group: Place(group.created_at, group.group_id), *query,
        )  # fmt: skip
        return pb.ListGroupsResponse(groups=page, next_page_token=token)
