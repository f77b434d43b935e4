"""What may not fit between rows, vectors and files, and what is done about it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from knowledge_svc.domain.documents import Document, State
from knowledge_svc.domain.items import Item, Space, Write
from svckit.errors import Unavailable

# A document that failed for this reason has lost its original; no census tells of it again.
FILE_LOST = "FILE_LOST"


class VectorsUnavailable(Unavailable):
    """The vector index cannot be reached."""

    reason = "VECTORS_UNAVAILABLE"


class Kind(Enum):
    """What does not fit; the contract says what each means."""

    VECTOR_MISSING = "VECTOR_MISSING"
    VECTOR_ORPHANED = "VECTOR_ORPHANED"
    VECTOR_STALE = "VECTOR_STALE"
    VECTOR_WRONG = "VECTOR_WRONG"
    MODEL_WRONG = "MODEL_WRONG"
    FILE_MISSING = "FILE_MISSING"
    FILE_ORPHANED = "FILE_ORPHANED"
    FILE_CORRUPT = "FILE_CORRUPT"
    CHUNKS_INCOMPLETE = "CHUNKS_INCOMPLETE"
    STUCK_PENDING = "STUCK_PENDING"
    STUCK_DELETING = "STUCK_DELETING"
    FAILED = "FAILED"


class Action(Enum):
    """What was done about a finding; the contract says what each means."""

    REQUEUED = "REQUEUED"
    VECTOR_DELETED = "VECTOR_DELETED"
    FILE_DELETED = "FILE_DELETED"
    EXTRACTION_REQUEUED = "EXTRACTION_REQUEUED"
    MARKED_LOST = "MARKED_LOST"
    GONE = "GONE"
    LEFT = "LEFT"
    DELETION_RESUMED = "DELETION_RESUMED"


@dataclass(frozen=True)
class Care:
    """How careful a census is; the defaults are for production."""

    # What looks wrong is looked at again after this: longer than a hosted index shows writes late.
    settle_seconds: float = 5.0
    # How long a repair waits within its run for a grace period to end.
    patience_seconds: float = 30.0
    # How much that looked wrong may wait for its second look.
    most_waiting: int = 5_000


@dataclass(frozen=True)
class Chosen:
    """Which walk: through all, or only through what stands on some shelves."""

    grace_seconds: int
    read_files: bool = False
    namespaces: Sequence[str] | None = None


@dataclass(frozen=True)
class ItemLook:
    """An item at one moment, as far as a census has to know it. Hashes are in hex.

    `state` is None where the queue does not know the item. `waited_seconds` is since when it is
    pending or being deleted; `is_held` whether an indexer is at it.
    """

    knowledge_id: str
    revision: int
    namespace: str
    occurred_at: str
    subject_id: str | None
    group_id: str | None
    session_id: str | None
    content_hash: str
    is_deleting: bool
    state: Literal["pending", "indexed", "failed", "deleting"] | None
    indexed_revision: int | None
    model: str | None
    attempts: int
    error: str | None
    is_held: bool
    waited_seconds: float

    @property
    def write(self) -> Write:
        """The write that the row is of."""
        return Write(self.knowledge_id, self.revision)

    @property
    def generation(self) -> tuple[Any, ...]:
        """What is equal at two looks between which nobody has written the item."""
        return self.revision, self.indexed_revision, self.state, self.is_deleting, self.model


@dataclass(frozen=True)
class DocumentLook:
    """A document at one moment, and its pieces: how many, how many numbers, from which to which."""

    document_id: str
    revision: int
    state: State
    changed_at: str
    blob_key: str
    size: int
    sha256: str
    is_latest: bool
    chunks: int
    failure_reason: str | None
    is_held: bool
    waited_seconds: float
    pieces: int
    numbers: int
    first_number: int | None
    last_number: int | None

    @property
    def has_file(self) -> bool:
        """Whether its original has to be there."""
        is_settled = self.state not in ("storing", "deleting")
        return is_settled and self.failure_reason != FILE_LOST

    @property
    def generation(self) -> tuple[Any, ...]:
        """What is equal at two looks between which nobody has written the document."""
        return self.revision, self.state, self.changed_at


@dataclass(frozen=True)
class FileLook:
    """A file at one moment; the SHA-256, in hex, is None where it was not read."""

    size: int
    sha256: str | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit.

    `revision`, `state` and `size` are what it was told of, so that a repair can tell whether it
    is that still.
    """

    kind: Kind
    detail: str
    knowledge_id: str = ""
    document_id: str = ""
    blob_key: str = ""
    space: str = ""
    revision: int = 0
    state: str = ""
    size: int = 0


@dataclass(frozen=True)
class Repair:
    """A finding, and what was done about it, or would be."""

    finding: Finding
    action: Action


Stage = Literal["items", "vectors", "documents", "files"]


@dataclass(frozen=True)
class Progress:
    """How many of about how many a stage has looked at; 0 where nobody knows."""

    stage: Stage
    looked_at: int
    estimated_total: int


@dataclass
class Summary:
    """What came of a walk, by stage, kind and action."""

    looked_at: dict[str, int] = field(default_factory=dict)
    findings: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)

    def count(self, part: Finding | Repair | Progress) -> None:
        """Take one more part into account."""
        match part:
            case Progress():
                self.looked_at[part.stage] = part.looked_at
            case Finding():
                self.findings[part.kind.value] += 1
            case Repair():
                self.findings[part.finding.kind.value] += 1
                self.actions[part.action.value] += 1


@dataclass(frozen=True)
class ItemPage:
    """Some items, and where to go on; None at the end. A page may be empty and not the last."""

    items: Sequence[ItemLook]
    after: str | None


@dataclass(frozen=True)
class DocumentPage:
    """Some documents, and where to go on; None at the end."""

    documents: Sequence[DocumentLook]
    after: str | None


@dataclass(frozen=True)
class Stranger:
    """An id that no row has, and whether an item that had it was deleted."""

    knowledge_id: str
    is_deleted: bool


@dataclass(frozen=True)
class Rows:
    """What Postgres holds of an item or a document; None where there is nothing."""

    item: Item | None
    look: ItemLook | None
    queue: Mapping[str, Any] | None
    deleted_at: str | None
    document: Document | None
    document_look: DocumentLook | None
    # The serving space first.
    spaces: Sequence[tuple[Space, bool]]

    @property
    def is_deleting(self) -> bool:
        """Whether a deletion is under way."""
        if self.look is not None:
            return self.look.is_deleting
        return self.document is not None and self.document.state == "deleting"
