"""Groups and who is in them."""

from gateway.answers import groups as answers
from gateway.rendering.values import moment
from kith.identity.v1 import group_pb2
from svckit import structs


def group(message: group_pb2.Group) -> answers.GroupAnswer:
    """Several people together."""
    return {
        "group_id": message.group_id,
        "kind": message.kind,
        "name": message.name,
        "metadata": structs.to_dict(message.metadata),
        "member_count": message.member_count,
        "created_at": moment(message, "created_at"),
        "etag": message.etag,
    }


def member(message: group_pb2.GroupMember) -> answers.MemberAnswer:
    """A person in a group."""
    return {
        "person_id": message.person_id,
        "role": message.role or None,
        "joined_at": moment(message, "joined_at"),
    }
