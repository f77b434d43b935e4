"""Spaces as messages."""

from kith.knowledge.v1 import index_service_pb2 as pb
from knowledge_svc.domain.spaces import SpaceState, SpaceStatus
from svckit import fields

_STATES: dict[SpaceState, "pb.SpaceState.ValueType"] = {
    "building": pb.SPACE_STATE_BUILDING,
    "serving": pb.SPACE_STATE_SERVING,
    "standby": pb.SPACE_STATE_STANDBY,
    "dropping": pb.SPACE_STATE_DROPPING,
}


def to_space(value: str) -> str:
    """The name of a space, as a request has it."""
    return fields.word(value, "space")


def from_status(status: SpaceStatus, *, is_embeddable: bool) -> pb.Space:
    """How a space stands; `is_embeddable`: this process makes its vectors."""
    space = status.space
    return pb.Space(
        space=space.name,
        model=space.model,
        dimension=space.dimension,
        chunker=space.chunker,
        state=_STATES[status.state],
        created_at=fields.to_timestamp(status.created_at),
        indexed_items=status.indexed_items,
        pending_items=status.pending_items,
        failed_items=status.failed_items,
        is_embeddable=is_embeddable,
    )
