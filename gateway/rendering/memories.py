"""What is remembered."""

from gateway.answers import memories as answers
from gateway.rendering.values import moment
from kith.knowledge.v1 import memory_pb2, memory_service_pb2
from svckit import structs


def memory(message: memory_pb2.Memory) -> answers.MemoryAnswer:
    """A memory, or a version of one."""
    return {
        "memory_id": message.memory_id,
        "person_id": message.person_id,
        "key": message.key,
        "value": message.value,
        "category": message.category,
        "importance": message.importance,
        "metadata": structs.to_dict(message.metadata),
        "source_event_id": message.source_event_id or None,
        "occurred_at": moment(message, "occurred_at"),
        "created_at": moment(message, "created_at"),
        "updated_at": moment(message, "updated_at"),
        "version": message.version,
        "access_count": message.access_count,
        "last_accessed_at": moment(message, "last_accessed_at"),
        "shadowed_by_person_id": message.shadowed_by_person_id or None,
        "deleted": message.deleted,
        "knowledge_id": message.knowledge_id or None,
    }


def upserted(
    message: memory_service_pb2.UpsertMemoriesResponse,
) -> list[answers.SetMemoryAnswer]:
    """Memories that a call has set, or found so."""
    return [
        {**memory(one), "changed": changed, "index_token": token or None}
        for one, changed, token in zip(
            message.memories, message.changed, message.index_tokens, strict=True
        )
    ]
