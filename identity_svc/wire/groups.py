"""The contract's messages on groups to the domain, checked on the way, and back."""

from identity_svc.domain.groups import Group, Member, NewGroup
from kith.identity.v1 import group_pb2
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import fields, ids, structs
from svckit.errors import InvalidRequest

MOST_NAME_CHARACTERS = 256
MOST_MEMBERS_AT_CREATION = 1000


def to_new_group(request: pb.CreateGroupRequest) -> NewGroup:
    """A group to create; without an id it gets a new one."""
    group = request.group
    return NewGroup(
        kind=_lower_word(group.kind, "group.kind"),
        name=_name(group.name, "group.name"),
        metadata=fields.struct(group.metadata, "group.metadata"),
        person_ids=fields.uuids(request.person_ids, "person_ids", most=MOST_MEMBERS_AT_CREATION),
        group_id=fields.optional_uuid(group.group_id, "group.group_id") or ids.new(),
    )


def to_name(request: pb.UpdateGroupRequest) -> str | None:
    """What the group is to be called, None to leave it."""
    return _name(request.name, "name") if request.HasField("name") else None


def to_role(request: pb.AddGroupMemberRequest) -> str:
    """The role to have; empty where there is none."""
    return _lower_word(request.role, "role") if request.role else ""


def to_kind(request: pb.ListGroupsRequest) -> str | None:
    """The kind of groups asked for, None for any."""
    return _lower_word(request.kind, "kind") if request.kind else None


def _lower_word(value: str, field: str) -> str:
    if fields.word(value, field) != value:
        raise InvalidRequest(field, "must be in lower case")
    return value


def _name(value: str, field: str) -> str:
    structs.check_text(value, field)
    if len(value) > MOST_NAME_CHARACTERS:
        raise InvalidRequest(
            field, f"is {len(value)} characters long; at most {MOST_NAME_CHARACTERS} are allowed"
        )
    return value


def from_group(group: Group) -> group_pb2.Group:
    """A group as the contract has it."""
    return group_pb2.Group(
        group_id=group.group_id,
        kind=group.kind,
        name=group.name,
        metadata=structs.from_dict(group.metadata),
        created_at=fields.to_timestamp(group.created_at),
        etag=group.etag,
        member_count=group.member_count,
    )


def from_member(member: Member) -> group_pb2.GroupMember:
    """A member as the contract has them."""
    return group_pb2.GroupMember(
        person_id=member.person_id,
        role=member.role,
        joined_at=fields.to_timestamp(member.joined_at),
    )
