"""What is taken away with a person, and what is handed out of theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What erasures and counts tell apart.
KINDS = ("items", "memories", "memory_versions", "documents", "files", "vectors")


@dataclass(frozen=True)
class DoomedItems:
    """Hidden items whose vectors are to go next; how many others somebody else is at."""

    ids: Sequence[str]
    held: int


@dataclass(frozen=True)
class DoomedDocument:
    """A document that nobody sees any more, and where its file may be."""

    document_id: str
    blob_key: str


@dataclass(frozen=True)
class DoomedDocuments:
    """Documents whose files are to go next; how many others somebody else is at."""

    documents: Sequence[DoomedDocument]
    held: int


@dataclass(frozen=True)
class MemoryVersion:
    """A memory as it once was, or is. Times are ISO 8601; what is counted is as of now."""

    memory_id: str
    person_id: str
    key: str
    value: str
    category: str
    importance: float
    metadata: Mapping[str, Any]
    source_event_id: str | None
    occurred_at: str
    created_at: str
    updated_at: str
    version: int
    access_count: int
    last_accessed_at: str | None
    is_deletion: bool
    knowledge_id: str | None
