"""Events."""

from gateway.answers import events as answers
from gateway.rendering.values import moment
from kith.event.v1 import event_pb2, event_service_pb2
from svckit import structs


def event(message: event_pb2.Event) -> answers.EventAnswer:
    """An entry of the log."""
    return {
        "event_id": message.event_id,
        "position": message.position,
        "event_type": message.event_type,
        "platform": message.platform,
        "person_id": message.person_id or None,
        "link_id": message.link_id or None,
        "group_id": message.group_id or None,
        "session_id": message.session_id or None,
        "session_key": message.session_key or None,
        "content": structs.to_dict(message.content),
        "metadata": structs.to_dict(message.metadata),
        "occurred_at": moment(message, "occurred_at"),
        "created_at": moment(message, "created_at"),
        "consent_version": message.consent_version,
        "redacted_at": moment(message, "redacted_at"),
        "redaction_reason": message.redaction_reason or None,
    }


def logged(message: event_pb2.LoggedEvent) -> answers.LoggedAnswer:
    """Where an event stands."""
    return {
        "event_id": message.event_id,
        "position": message.position or None,
        "created_at": moment(message, "created_at"),
        "duplicate": message.duplicate,
    }


def count(message: event_service_pb2.EventCount) -> answers.CountAnswer:
    """How many events there are in a bucket."""
    return {
        "start": moment(message, "start"),
        "event_type": message.event_type or None,
        "platform": message.platform or None,
        "count": message.count,
    }
