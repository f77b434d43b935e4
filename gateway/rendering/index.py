"""Spaces, and what was given up in them."""

from typing import Literal

from gateway.answers.index import DeadLetterAnswer, SpaceAnswer
from gateway.rendering.values import moment
from kith.knowledge.v1 import index_service_pb2 as pb

_STATES: dict[int, Literal["building", "serving", "standby", "dropping"]] = {
    pb.SPACE_STATE_BUILDING: "building",
    pb.SPACE_STATE_SERVING: "serving",
    pb.SPACE_STATE_STANDBY: "standby",
    pb.SPACE_STATE_DROPPING: "dropping",
}


def space(message: pb.Space) -> SpaceAnswer:
    """A space."""
    return {
        "space": message.space,
        "model": message.model,
        "dimension": message.dimension,
        "chunker": message.chunker,
        "state": _STATES[message.state],
        "created_at": moment(message, "created_at") or "",
        "indexed_items": message.indexed_items,
        "pending_items": message.pending_items,
        "failed_items": message.failed_items,
    }


def dead_letter(message: pb.DeadLetter) -> DeadLetterAnswer:
    """An item that was given up."""
    return {
        "knowledge_id": message.knowledge_id,
        "namespace": message.namespace,
        "error": message.error,
        "attempts": message.attempts,
        "failed_at": moment(message, "failed_at") or "",
        "pending_since": moment(message, "pending_since") or "",
        "space": message.space,
    }
