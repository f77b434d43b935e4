"""What an export has: everything that the services tell, under the names of the contracts."""

from typing import Any

from gateway.rendering import documents, events, groups, items, memories, people, projections
from kith.event.v1 import event_pb2, projection_pb2
from kith.identity.v1 import group_pb2, person_pb2
from kith.knowledge.v1 import document_pb2, knowledge_pb2, memory_pb2

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
    return {**items.item(message), "subject_id": message.subject_id or None}


def memory(message: memory_pb2.Memory) -> Json:
    """A version of a memory."""
    return {**memories.memory(message)}


def document(message: document_pb2.Document, file: str | None) -> Json:
    """A document, and which entry its bytes are; None where they are not there."""
    return {
        **documents.document(message), "subject_id": message.subject_id or None, "file": file,
    }  # fmt: skip
