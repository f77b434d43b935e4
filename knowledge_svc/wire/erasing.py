"""Messages of erasure and export, checked on the way, and back."""

from collections.abc import Sequence

from kith.knowledge.v1 import document_pb2, memory_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.domain.documents import Document
from knowledge_svc.domain.erasing import MemoryVersion
from knowledge_svc.domain.items import Item
from knowledge_svc.wire.items import from_item
from svckit import fields, structs

MOST_SUBJECTS = 1000

_STATES = {
    "pending": document_pb2.EXTRACTION_STATE_PENDING,
    "running": document_pb2.EXTRACTION_STATE_RUNNING,
    "succeeded": document_pb2.EXTRACTION_STATE_SUCCEEDED,
    "failed": document_pb2.EXTRACTION_STATE_FAILED,
}


def to_subject_ids(subject_ids: Sequence[str]) -> list[str]:
    """One to 1,000 subjects, each once."""
    given = fields.batch(subject_ids, "subject_ids", most=MOST_SUBJECTS)
    return list(dict.fromkeys(fields.uuids(given, "subject_ids", most=MOST_SUBJECTS)))


def from_part(part: Item | MemoryVersion | Document | bytes) -> pb.ExportSubjectsResponse:
    """The next part of an export."""
    match part:
        case Item():
            return pb.ExportSubjectsResponse(item=from_item(part))
        case MemoryVersion():
            return pb.ExportSubjectsResponse(memory=_memory(part))
        case Document():
            return pb.ExportSubjectsResponse(document=_document(part))
        case _:
            return pb.ExportSubjectsResponse(file_data=part)


def _memory(version: MemoryVersion) -> memory_pb2.Memory:
    return memory_pb2.Memory(
        memory_id=version.memory_id,
        person_id=version.person_id,
        key=version.key,
        value=version.value,
        category=version.category,
        importance=version.importance,
        metadata=structs.from_dict(version.metadata),
        source_event_id=version.source_event_id or "",
        occurred_at=fields.to_timestamp(version.occurred_at),
        created_at=fields.to_timestamp(version.created_at),
        updated_at=fields.to_timestamp(version.updated_at),
        version=version.version,
        access_count=version.access_count,
        last_accessed_at=fields.to_timestamp(version.last_accessed_at),
        deleted=version.is_deletion,
        knowledge_id=version.knowledge_id or "",
    )


def _document(document: Document) -> document_pb2.Document:
    return document_pb2.Document(
        document_id=document.document_id,
        key=document.document_key,
        version=document.version,
        is_latest=document.is_latest,
        filename=document.filename,
        media_type=document.media_type,
        size=document.size,
        sha256=bytes.fromhex(document.sha256),
        namespace=document.namespace,
        metadata=structs.from_dict(document.metadata),
        subject_id=document.subject_id or "",
        person_id=document.person_id or "",
        group_id=document.group_id or "",
        session_id=document.session_id or "",
        platform=document.platform or "",
        occurred_at=fields.to_timestamp(document.occurred_at),
        created_at=fields.to_timestamp(document.created_at),
        state=_STATES.get(document.state, document_pb2.EXTRACTION_STATE_UNSPECIFIED),
        failure_reason=document.failure_reason or "",
        failure_detail=document.failure_detail or "",
        indexed=document.is_indexed,
        chunks=document.chunks,
        pages=document.pages or 0,
        title=document.title or "",
        chunker=document.chunker or "",
    )
