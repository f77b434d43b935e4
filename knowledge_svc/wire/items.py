"""The contract's messages to the domain, checked on the way, and back."""

import base64
import binascii
import uuid
from collections.abc import Mapping
from typing import Any

from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2
from knowledge_svc.domain import filters, memories
from knowledge_svc.domain.items import (
    METADATA_BYTES,
    Filter,
    Item,
    NewItem,
    Place,
    Stored,
    Write,
)
from knowledge_svc.wire.places import moment_and_id
from svckit import fields, ids, pages, structs
from svckit.errors import InvalidRequest

pb = knowledge_service_pb2

CONTENT_BYTES = 32 << 10
_SCOPE_BYTES = 512  # 128 characters
_HASH_BYTES = 32
_MOST_REVISION = 2**53

_OUTCOMES = {
    "created": pb.STORE_OUTCOME_CREATED,
    "duplicate": pb.STORE_OUTCOME_DUPLICATE,
    "deleted": pb.STORE_OUTCOME_DELETED,
}
_STATES = {
    "pending": knowledge_pb2.INDEX_STATE_PENDING,
    "indexed": knowledge_pb2.INDEX_STATE_INDEXED,
    "failed": knowledge_pb2.INDEX_STATE_FAILED,
}


def to_item(request: pb.StoreKnowledgeRequest) -> NewItem:
    """The item of a request; one without an id gets one."""
    if not request.HasField("item"):
        raise InvalidRequest("item", "is required")
    item = request.item
    if item.namespace.lower() == memories.NAMESPACE:
        raise InvalidRequest("item.namespace", "is that of memories; set them by UpsertMemories")
    source_event_id = fields.optional_uuid(item.source_event_id, "item.source_event_id")
    return NewItem(
        knowledge_id=fields.optional_uuid(item.knowledge_id, "item.knowledge_id") or ids.new(),
        namespace=fields.word(item.namespace or "default", "item.namespace"),
        content=fields.text(item.content, "item.content", most=CONTENT_BYTES),
        metadata=fields.struct(item.metadata, "item.metadata", most_bytes=METADATA_BYTES),
        subject_id=fields.optional_uuid(item.subject_id, "item.subject_id"),
        person_id=fields.optional_uuid(item.person_id, "item.person_id"),
        group_id=fields.optional_uuid(item.group_id, "item.group_id"),
        session_id=fields.optional_uuid(item.session_id, "item.session_id"),
        platform=_optional_word(item.platform, "item.platform"),
        source_event_id=source_event_id,
        source_position=_position(item.source_position, source_event_id),
        occurred_at=fields.timestamp(item, "item.occurred_at"),
        request_hash=_hash(item.request_hash),
    )


def _optional_word(value: str, field: str) -> str | None:
    return fields.word(value, field) if value else None


def _position(position: int, source_event_id: str | None) -> int | None:
    if position < 0:
        raise InvalidRequest("item.source_position", "must not be negative")
    if position and source_event_id is None:
        raise InvalidRequest("item.source_position", "needs item.source_event_id")
    return position or None


def _hash(value: bytes) -> bytes | None:
    if value and len(value) != _HASH_BYTES:
        raise InvalidRequest("item.request_hash", f"must be {_HASH_BYTES} bytes")
    return value or None


def to_filter(message: knowledge_pb2.KnowledgeFilter) -> Filter:
    """A filter; fields that are not set do not narrow."""
    return Filter(
        namespaces=fields.words(message.namespaces, "filter.namespaces", most=32) or None,
        subject_ids=fields.uuids(message.subject_ids, "filter.subject_ids", most=1000) or None,
        group_id=fields.optional_uuid(message.group_id, "filter.group_id"),
        session_id=fields.optional_uuid(message.session_id, "filter.session_id"),
        platform=_optional_word(message.platform, "filter.platform"),
        occurred_from=fields.timestamp(message, "filter.occurred_from"),
        occurred_to=fields.timestamp(message, "filter.occurred_to"),
        metadata=filters.parsed(
            fields.struct(message.metadata, "filter.metadata"), "filter.metadata"
        ),
        document_id=fields.optional_uuid(message.document_id, "filter.document_id"),
    )


def to_query(request: pb.ListKnowledgeRequest, chosen: Filter) -> Mapping[str, Any]:
    """What page tokens of a list are bound to."""
    scope = fields.text(request.page_scope, "page_scope", most=_SCOPE_BYTES, least=0)
    if len(scope) > _SCOPE_BYTES // 4:
        raise InvalidRequest("page_scope", "has more than 128 characters")
    bound = chosen.as_json()
    if scope:
        bound["subject_ids"] = scope
    return bound


def to_place(page_token: str, query: Mapping[str, Any]) -> Place | None:
    """Where the page before ended; None at the start."""
    place = moment_and_id(page_token, query)
    return Place(*place) if place else None


def page_token(last: Item, query: Mapping[str, Any]) -> str:
    """The token of the page after this item."""
    return pages.token([last.occurred_at, last.knowledge_id], query)


def index_token(write: Write) -> str:
    """The opaque name of a write: its item's id and its revision."""
    name = uuid.UUID(write.knowledge_id).bytes + write.revision.to_bytes(8, "big")
    return base64.urlsafe_b64encode(name).decode()


def to_write(token: str, field: str) -> Write:
    """The write that a token names."""
    try:
        name = base64.b64decode(token, b"-_", validate=True)
    except (binascii.Error, ValueError):
        name = b""
    revision = int.from_bytes(name[16:], "big")
    if len(name) != 24 or revision > _MOST_REVISION:
        raise InvalidRequest(field, "is not an index token")
    return Write(str(uuid.UUID(bytes=name[:16])), revision)


def from_stored(stored: Stored) -> pb.StoreKnowledgeResponse:
    """What a store call met."""
    write = None if stored.revision is None else Write(stored.knowledge_id, stored.revision)
    return pb.StoreKnowledgeResponse(
        knowledge_id=stored.knowledge_id,
        outcome=_OUTCOMES[stored.outcome],
        index_token=index_token(write) if write else "",
    )


def from_item(item: Item) -> knowledge_pb2.Knowledge:
    """An item as callers see it."""
    return knowledge_pb2.Knowledge(
        knowledge_id=item.knowledge_id,
        namespace=item.namespace,
        content=item.content,
        metadata=structs.from_dict(item.metadata),
        subject_id=item.subject_id or "",
        person_id=item.person_id or "",
        group_id=item.group_id or "",
        session_id=item.session_id or "",
        platform=item.platform or "",
        source_event_id=item.source_event_id or "",
        source_position=item.source_position or 0,
        occurred_at=fields.to_timestamp(item.occurred_at),
        created_at=fields.to_timestamp(item.created_at),
        index_state=_STATES[item.index_state],
        embedding_model=item.embedding_model or "",
        etag=str(item.revision),
        updated_at=None if item.updated_at is None else fields.to_timestamp(item.updated_at),
        document_id=item.document_id or "",
        place=_place_in_document(item),
    )


def _place_in_document(item: Item) -> knowledge_pb2.DocumentPlace | None:
    if item.chunk_number is None:
        return None
    return knowledge_pb2.DocumentPlace(chunk_number=item.chunk_number, **item.place or {})
