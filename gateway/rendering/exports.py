"""What an export has: everything that the services tell, under the names of the contracts."""

from typing import Any

from gateway.rendering import events, groups, people, projections
from gateway.rendering.values import moment
from kith.event.v1 import event_pb2, projection_pb2
from kith.identity.v1 import group_pb2, person_pb2
from kith.knowledge.v1 import document_pb2, knowledge_pb2, memory_pb2
from svckit import structs

Json = dict[str, Any]


def person(message: person_pb2.Person) -> Json:
    """The person as they are now, and by which ids others keep what is theirs."""
    return {**people.person(message), "subject_ids": list(message.subject_ids)}


def membership(group: group_pb2.Group, member: group_pb2.GroupMember | None) -> Json:
    """A group that somebody is in, and as what; nothing about the others."""
    return {**groups.group(group), "membership": groups.member(member) if member else None}


def event(message: event_pb2.Event) -> Json:
    """An entry of the log."""
    return {**events.event(message), "subject_id": message.subject_id or None}


def projection_value(name: str, message: projection_pb2.ProjectionValue) -> Json:
    """An aggregate of one subject's events."""
    value = projections.projection_value(message)
    return {"projection": name, "subject_id": message.subject_id, **value}


def item(message: knowledge_pb2.Knowledge) -> Json:
    """An item."""
    return {
        "knowledge_id": message.knowledge_id,
        "namespace": message.namespace,
        "content": message.content,
        "metadata": structs.to_dict(message.metadata),
        "subject_id": message.subject_id or None,
        "person_id": message.person_id or None,
        "group_id": message.group_id or None,
        "session_id": message.session_id or None,
        "platform": message.platform or None,
        "source_event_id": message.source_event_id or None,
        "source_position": message.source_position or None,
        "occurred_at": moment(message, "occurred_at"),
        "created_at": moment(message, "created_at"),
        "updated_at": moment(message, "updated_at"),
    }


def memory(message: memory_pb2.Memory) -> Json:
    """A version of a memory."""
    return {
        "memory_id": message.memory_id,
        "person_id": message.person_id,
        "key": message.key,
        "version": message.version,
        "value": message.value,
        "category": message.category,
        "importance": message.importance,
        "metadata": structs.to_dict(message.metadata),
        "source_event_id": message.source_event_id or None,
        "occurred_at": moment(message, "occurred_at"),
        "created_at": moment(message, "created_at"),
        "updated_at": moment(message, "updated_at"),
        "access_count": message.access_count,
        "last_accessed_at": moment(message, "last_accessed_at"),
        "deleted": message.deleted,
    }


def document(message: document_pb2.Document, file: str | None) -> Json:
    """A document, and which entry its bytes are; None where they are not there."""
    return {
        "document_id": message.document_id,
        "file": file,
        "key": message.key,
        "version": message.version,
        "is_latest": message.is_latest,
        "filename": message.filename,
        "media_type": message.media_type,
        "size": message.size,
        "sha256": message.sha256.hex(),
        "namespace": message.namespace,
        "metadata": structs.to_dict(message.metadata),
        "subject_id": message.subject_id or None,
        "person_id": message.person_id or None,
        "group_id": message.group_id or None,
        "session_id": message.session_id or None,
        "platform": message.platform or None,
        "occurred_at": moment(message, "occurred_at"),
        "created_at": moment(message, "created_at"),
        "title": message.title or None,
    }
