"""Documents: files as they came, and how far their text is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from knowledge_svc.domain.items import NOBODY, Terms
from svckit import ids
from svckit.errors import DataLoss, InvalidRequest, NotFound, PermissionDenied

State = Literal["storing", "pending", "running", "succeeded", "failed", "deleting"]
VISIBLE: Sequence[State] = ("pending", "running", "succeeded", "failed")

MOST_BYTES = 50 << 20

# Why a document failed of which there is no file to read: not the file's own fault.
FILE_IS_LOST = "FILE_LOST"


class DocumentTooLarge(InvalidRequest):
    """The file has more bytes than a document may."""

    reason = "DOCUMENT_TOO_LARGE"

    def __init__(self) -> None:
        super().__init__("data", f"has more than {MOST_BYTES} bytes")
        self.metadata = {"most_bytes": str(MOST_BYTES)}


class MediaTypeMismatch(InvalidRequest):
    """The bytes, the name and the declared media type contradict one another."""

    reason = "MEDIA_TYPE_MISMATCH"


class ChecksumMismatch(InvalidRequest):
    """The bytes that arrived are not those that were announced."""

    reason = "CHECKSUM_MISMATCH"

    def __init__(self) -> None:
        super().__init__("document.sha256", "is not that of the bytes that arrived")


class FileLost(DataLoss):
    """The original is not in the blob store, or not as it was."""

    reason = "FILE_LOST"

    def __init__(self, document_id: str) -> None:
        super().__init__(
            f"the file of document {document_id} is lost or was changed", document_id=document_id
        )


class SignatureInvalid(PermissionDenied):
    """The link is not signed by this service, or not any more."""

    reason = "SIGNATURE_INVALID"

    def __init__(self) -> None:
        super().__init__("the link is not valid, or not any more")


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

    @property
    def is_lost(self) -> bool:
        """Whether it is known that its original is not there, or not as it came."""
        return self.state == "failed" and self.failure_reason == FILE_IS_LOST


@dataclass(frozen=True)
class NewDocument:
    """A file as its caller describes it. Ids are UUIDs, `occurred_at` is ISO 8601."""

    filename: str
    key: str = ""
    media_type: str = ""
    namespace: str = "default"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    subject_id: str | None = None
    person_id: str | None = None
    group_id: str | None = None
    session_id: str | None = None
    platform: str | None = None
    occurred_at: str | None = None
    # Of the bytes as announced, in hex.
    sha256: str | None = None

    @property
    def owner(self) -> str:
        """Among whose documents versions are counted, as the owner of an item."""
        return self.subject_id or self.group_id or self.session_id or NOBODY

    def document_id(self, sha256: str) -> str:
        """The id with these bytes: whoever uploads the same again means the same document."""
        return ids.named("document", self.owner, self.namespace, self.key, sha256)


@dataclass(frozen=True)
class Kept:
    """What became of an upload, and whether that very call stored it."""

    document: Document
    created: bool


@dataclass(frozen=True)
class Selection:
    """Which documents of those that a filter chooses; None and False do not widen or narrow."""

    key: str | None = None
    with_earlier: bool = False
    state: State | None = None


@dataclass(frozen=True)
class DocumentPlace:
    """Where a page of a list, newest first, ended."""

    created_at: str
    document_id: str


@dataclass(frozen=True)
class Reading:
    """A document whose text is being read: for the how-manyeth time, and which reading it is."""

    document: Document
    attempts: int

    @property
    def document_id(self) -> str:
        """The document."""
        return self.document.document_id

    @property
    def revision(self) -> int:
        """What names the reading: it is over when the document has another one."""
        return self.document.revision

    def piece_id(self, number: int) -> str:
        """The id of the item that a piece becomes; no other reading makes the same."""
        return ids.derived(self.document_id, f"{self.revision}/{number}")


@dataclass(frozen=True)
class Piece:
    """A chunk with the terms that words find it by; `occurred_at` is None without its own."""

    knowledge_id: str
    chunk_number: int
    content: str
    terms: Terms
    place: Mapping[str, Any]
    occurred_at: str | None = None


@dataclass(frozen=True)
class DocumentBacklog:
    """How many documents are in each state, and for how long the oldest waits to be read."""

    states: Mapping[str, int]
    oldest_seconds: float
