"""Documents: files as they came, and how far their text is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from svckit.errors import NotFound

State = Literal["storing", "pending", "running", "succeeded", "failed", "deleting"]


class DocumentNotFound(NotFound):
    """There is no such document."""

    reason = "DOCUMENT_NOT_FOUND"

    def __init__(self, document_id: str) -> None:
        super().__init__(f"there is no document {document_id}", document_id=document_id)


@dataclass(frozen=True)
class Document:
    """A document as its row has it. Times are ISO 8601, `sha256` is in hex."""

    document_id: str
    revision: int
    namespace: str
    document_key: str
    version: int
    is_latest: bool
    filename: str
    media_type: str
    blob_key: str
    size: int
    sha256: str
    metadata: Mapping[str, Any]
    subject_id: str | None
    person_id: str | None
    group_id: str | None
    session_id: str | None
    platform: str | None
    occurred_at: str
    created_at: str
    changed_at: str
    state: State
    is_indexed: bool
    chunks: int
    pages: int | None = None
    title: str | None = None
    chunker: str | None = None
    failure_reason: str | None = None
    failure_detail: str | None = None
