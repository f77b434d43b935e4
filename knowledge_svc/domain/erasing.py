"""What is taken away with a person, and what is handed out of theirs."""

from collections.abc import Sequence
from dataclasses import dataclass

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
