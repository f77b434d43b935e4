"""Messages of erasure and export, checked on the way, and back."""

from collections.abc import Sequence

from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.domain.documents import Document
from knowledge_svc.domain.items import NOBODY, Item
from knowledge_svc.domain.memories import Memory
from knowledge_svc.wire.documents import from_document
from knowledge_svc.wire.items import from_item
from knowledge_svc.wire.memories import from_memory
from svckit import fields
from svckit.errors import InvalidRequest

MOST_SUBJECTS = 1000


def to_subject_ids(subject_ids: Sequence[str]) -> list[str]:
    """One to 1,000 subjects, each once."""
    fields.batch(subject_ids, "subject_ids", most=MOST_SUBJECTS)
    given = fields.uuids(subject_ids, "subject_ids", most=MOST_SUBJECTS)
    if NOBODY in given:
        # Below it stand the files of all documents without a subject.
        raise InvalidRequest(f"subject_ids[{given.index(NOBODY)}]", "is nobody")
    return list(dict.fromkeys(given))


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
