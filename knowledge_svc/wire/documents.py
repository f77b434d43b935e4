"""Documents: the contract's messages to the domain, checked on the way, and back."""

import re
from collections.abc import Mapping
from typing import Any

from kith.knowledge.v1 import document_pb2
from kith.knowledge.v1 import document_service_pb2 as pb
from knowledge_svc.domain import memories
from knowledge_svc.domain.documents import Document, DocumentPlace, NewDocument, Selection, State
from knowledge_svc.domain.items import Filter
from knowledge_svc.wire.places import moment_and_id
from svckit import fields, pages, structs
from svckit.errors import InvalidRequest

KEY_BYTES = 512
FILENAME_CHARACTERS = 255
_SCOPE_CHARACTERS = 128
_HASH_BYTES = 32
_MEDIA_TYPE = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(\s*;[ -~]{0,200})?"
)
_MOST_SECONDS = 604_800
_DEFAULT_SECONDS = 3_600
# No file is larger.
_MOST_OFFSET = 2**53

_STATES: Mapping[State, document_pb2.ExtractionState.ValueType] = {
    "pending": document_pb2.EXTRACTION_STATE_PENDING,
    "running": document_pb2.EXTRACTION_STATE_RUNNING,
    "succeeded": document_pb2.EXTRACTION_STATE_SUCCEEDED,
    "failed": document_pb2.EXTRACTION_STATE_FAILED,
}
_STATE_NAMES = {value: name for name, value in _STATES.items()}


def to_new_document(message: document_pb2.NewDocument) -> NewDocument:
    """What a caller says of a file."""
    of = "document"
    return NewDocument(
        filename=_filename(message.filename),
        key=fields.text(message.key, f"{of}.key", most=KEY_BYTES, least=0),
        media_type=_media_type(message.media_type),
        namespace=_namespace(message.namespace or "default"),
        metadata=fields.struct(message.metadata, f"{of}.metadata"),
        subject_id=fields.optional_uuid(message.subject_id, f"{of}.subject_id"),
        person_id=fields.optional_uuid(message.person_id, f"{of}.person_id"),
        group_id=fields.optional_uuid(message.group_id, f"{of}.group_id"),
        session_id=fields.optional_uuid(message.session_id, f"{of}.session_id"),
        platform=fields.word(message.platform, f"{of}.platform") if message.platform else None,
        occurred_at=fields.timestamp(message, f"{of}.occurred_at"),
        sha256=_hash(message.sha256),
    )


def _filename(value: str) -> str:
    name = fields.characters(value, "document.filename", most=FILENAME_CHARACTERS)
    if not name.strip():
        raise InvalidRequest("document.filename", "is required")
    return name


def _namespace(value: str) -> str:
    namespace = fields.word(value, "document.namespace")
    if namespace == memories.NAMESPACE:
        raise InvalidRequest("document.namespace", "is that of memories")
    if namespace.startswith("."):
        # Blob stores keep the file below it, and some names are no names of folders.
        raise InvalidRequest("document.namespace", "must not begin with a dot")
    return namespace


def _media_type(value: str) -> str:
    if value and not _MEDIA_TYPE.fullmatch(value):
        raise InvalidRequest("document.media_type", "must be a media type, such as text/plain")
    return value


def _hash(value: bytes) -> str | None:
    if value and len(value) != _HASH_BYTES:
        raise InvalidRequest("document.sha256", f"must be {_HASH_BYTES} bytes")
    return value.hex() or None


def to_selection(request: pb.ListDocumentsRequest) -> Selection:
    """Which documents of those that the filter chooses."""
    key = fields.text(request.key, "key", most=KEY_BYTES, least=0)
    if request.state and request.state not in _STATE_NAMES:
        raise InvalidRequest("state", "is not a state that is known")
    return Selection(
        key=key or None,
        with_earlier=request.include_earlier_versions,
        state=_STATE_NAMES.get(request.state),
    )


def to_query(
    request: pb.ListDocumentsRequest, chosen: Filter, selection: Selection
) -> Mapping[str, Any]:
    """What page tokens of a list are bound to."""
    scope = fields.characters(request.page_scope, "page_scope", most=_SCOPE_CHARACTERS)
    bound = {**chosen.as_json(), "selection": [*vars(selection).values()]}
    if scope:
        bound["subject_ids"] = scope
    return bound


def to_place(page_token: str, query: Mapping[str, Any]) -> DocumentPlace | None:
    """Where the page before ended; None at the start."""
    place = moment_and_id(page_token, query)
    return DocumentPlace(*place) if place else None


def page_token(last: Document, query: Mapping[str, Any]) -> str:
    """The token of the page after this document."""
    return pages.token([last.created_at, last.document_id], query)


def to_range(request: pb.DownloadDocumentRequest) -> tuple[int, int]:
    """The first byte wanted, and how many; 0 for all."""
    for name in ("offset", "length"):
        if not 0 <= getattr(request, name) <= _MOST_OFFSET:
            raise InvalidRequest(name, "must not be negative, or beyond any file")
    return request.offset, request.length


def to_seconds(request: pb.GetDocumentUrlRequest) -> int:
    """For how long a link holds."""
    if not 0 <= request.seconds <= _MOST_SECONDS:
        raise InvalidRequest("seconds", f"must be 1 to {_MOST_SECONDS}, or 0 for an hour")
    return request.seconds or _DEFAULT_SECONDS


def from_document(document: Document) -> document_pb2.Document:
    """A document as callers see it."""
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
        # Of one that nobody sees, because it is being stored or deleted, no state is told.
        state=_STATES.get(document.state, document_pb2.EXTRACTION_STATE_UNSPECIFIED),
        failure_reason=document.failure_reason or "",
        failure_detail=document.failure_detail or "",
        indexed=document.is_indexed,
        chunks=document.chunks,
        pages=document.pages or 0,
        title=document.title or "",
        chunker=document.chunker or "",
    )
