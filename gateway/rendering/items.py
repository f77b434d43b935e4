"""Single items, and shelves."""

from typing import Literal

from gateway.answers import items as answers
from gateway.rendering.knowledge import known
from gateway.rendering.values import moment
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2

_OUTCOMES: dict[int, Literal["created", "duplicate", "deleted"]] = {
    knowledge_service_pb2.STORE_OUTCOME_CREATED: "created",
    knowledge_service_pb2.STORE_OUTCOME_DUPLICATE: "duplicate",
    knowledge_service_pb2.STORE_OUTCOME_DELETED: "deleted",
}


def item(message: knowledge_pb2.Knowledge) -> answers.KnownAnswer:
    """An item as it is now."""
    return {
        **known(message),
        "created_at": moment(message, "created_at"),
        "updated_at": moment(message, "updated_at"),
        "etag": message.etag,
    }


def stored(message: knowledge_service_pb2.StoreKnowledgeResponse) -> answers.StoredAnswer:
    """What storing met."""
    return {
        "knowledge_id": message.knowledge_id,
        "outcome": _OUTCOMES[message.outcome],
        "index_token": message.index_token or None,
    }


def namespace(message: knowledge_service_pb2.Namespace) -> answers.NamespaceAnswer:
    """A shelf."""
    return {
        "namespace": message.namespace,
        "items": message.items,
        "unindexed_items": message.unindexed_items,
        "documents": message.documents,
        "document_bytes": message.document_bytes,
        "last_occurred_at": moment(message, "last_occurred_at"),
    }
