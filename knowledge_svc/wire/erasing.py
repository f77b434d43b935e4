"""Messages of erasure and export, checked on the way, and back."""

from collections.abc import Sequence

from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.domain.documents import Document
from knowledge_svc.domain.items import Item
from knowledge_svc.domain.memories import Memory
from knowledge_svc.wire.documents import from_document
from knowledge_svc.wire.items import from_item
from knowledge_svc.wire.memories import from_memory
from svckit import fields

MOST_SUBJECTS = 1000


def to_subject_ids(subject_ids: Sequence[str]) -> list[str]:
    """One to 1,000 subjects, each once."""
    given = fields.batch(subject_ids, "subject_ids", most=MOST_SUBJECTS)
    return list(dict.fromkeys(fields.uuids(given, "subject_ids", most=MOST_SUBJECTS)))


def from_part(part: Item | Memory | Document | bytes) -> pb.ExportSubjectsResponse:
    """The next part of an export."""
    match part:
        case Item():
            return pb.ExportSubjectsResponse(item=from_item(part))
        case Memory():
            return pb.ExportSubjectsResponse(memory=from_memory(part))
        case Document():
            return pb.ExportSubjectsResponse(document=from_document(part))
        case _:
            return pb.ExportSubjectsResponse(file_data=part)
