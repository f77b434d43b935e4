"""Projections and their values."""

from gateway.answers import projections as answers
from gateway.rendering.values import moment
from kith.event.v1 import projection_pb2


def projection(message: projection_pb2.Projection) -> answers.ProjectionAnswer:
    """What is aggregated, and how far that is."""
    is_ready = message.state == projection_pb2.PROJECTION_STATE_READY
    return {
        "name": message.name,
        "event_types": list(message.event_types),
        "value_path": list(message.value_path),
        "key_path": list(message.key_path),
        "state": "ready" if is_ready else "backfilling",
        "backfilled_position": message.backfilled_position,
        "since_position": message.since_position,
        "created_at": moment(message, "created_at"),
    }


def projection_value(message: projection_pb2.ProjectionValue) -> answers.ProjectionValueAnswer:
    """The aggregate of one key."""
    return {
        "key": message.key,
        "count": message.count,
        "sum": message.sum,
        "mean": message.mean,
        "last": message.last,
        "last_position": message.last_position,
        "last_occurred_at": moment(message, "last_occurred_at"),
    }
