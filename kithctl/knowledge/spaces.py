"""A space, as the commands tell of it."""

from typing import Any

from kith.knowledge.v1 import index_service_pb2 as pb


def state_of(space: pb.Space) -> str:
    """Its state in one word."""
    return pb.SpaceState.Name(space.state).removeprefix("SPACE_STATE_").lower()


def fields_of(space: pb.Space) -> dict[str, Any]:
    """What JSON says of it."""
    return {
        "space": space.space,
        "state": state_of(space),
        "model": space.model,
        "dimension": space.dimension,
        "chunker": space.chunker,
        "indexed_items": space.indexed_items,
        "pending_items": space.pending_items,
        "failed_items": space.failed_items,
        "is_embeddable": space.is_embeddable,
    }
