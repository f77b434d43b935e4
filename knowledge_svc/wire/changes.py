"""UpdateKnowledge's messages."""

from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.domain.changes import Change
from knowledge_svc.domain.items import Item, Write
from knowledge_svc.wire.items import CONTENT_BYTES, from_item, index_token
from svckit import fields
from svckit.errors import InvalidRequest

_ETAG_BYTES = 64
# One that takes the place of everything names all that was there as well.
_PATCH_BYTES = 64 << 10


def to_change(request: pb.UpdateKnowledgeRequest) -> Change:
    """What is to change; content, metadata or both are required."""
    knowledge_id = fields.uuid(request.knowledge_id, "knowledge_id")
    has_content, has_patch = request.HasField("content"), request.HasField("metadata_patch")
    if not has_content and not has_patch:
        raise InvalidRequest("content", "or metadata_patch is required")
    return Change(
        knowledge_id,
        content=fields.text(request.content, "content", most=CONTENT_BYTES)
        if has_content
        else None,
        metadata_patch=fields.struct(
            request.metadata_patch, "metadata_patch", most_bytes=_PATCH_BYTES
        )
        if has_patch
        else None,
        etag=fields.text(request.etag, "etag", most=_ETAG_BYTES) if request.etag else None,
    )


def from_changed(item: Item) -> pb.UpdateKnowledgeResponse:
    """The item as it is now, and the name of its last write."""
    return pb.UpdateKnowledgeResponse(
        item=from_item(item), index_token=index_token(Write(item.knowledge_id, item.revision))
    )
