"""Items, filters and spaces, the rules on them, and this service's errors."""

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from knowledge_svc.domain import paths
from knowledge_svc.domain.filters import Condition
from svckit.errors import Conflict, FailedPrecondition, NotFound

# Nobody's knowledge has the nil UUID for an owner.
NOBODY = str(uuid.UUID(int=0))

# 16 KiB of a client's, and what whoever composes the services adds.
METADATA_BYTES = 17 << 10

# How content becomes texts to embed: an item is one text.
CHUNKER = "whole-1"


class KnowledgeNotFound(NotFound):
    """There is no such item."""

    reason = "KNOWLEDGE_NOT_FOUND"

    def __init__(self, knowledge_id: str) -> None:
        super().__init__(f"there is no item {knowledge_id}", knowledge_id=knowledge_id)


class IdempotencyConflict(Conflict):
    """An item with this id was stored with another body."""

    reason = "IDEMPOTENCY_CONFLICT"

    def __init__(self, knowledge_id: str) -> None:
        super().__init__(
            f"item {knowledge_id} was stored with another body", knowledge_id=knowledge_id
        )


class SubjectErased(FailedPrecondition):
    """Nothing is kept about the subject any more."""

    reason = "SUBJECT_ERASED"

    def __init__(self, subject_id: str) -> None:
        super().__init__(f"subject {subject_id} was erased", subject_id=subject_id)


class SpaceMismatch(RuntimeError):
    """The vectors that are there were made by another model than those configured."""

    def __init__(self, serving: "Space", configured: "Sequence[Space]") -> None:
        super().__init__(
            f"the vectors of this database are of {serving} and configured is "
            f"{' and '.join(map(str, configured))}: set KITH_EMBEDDER (KITH_VOYAGE_MODEL, "
            "KITH_VOYAGE_DIMENSION) back to what made them; to change over, set "
            "KITH_NEXT_EMBEDDER (KITH_NEXT_VOYAGE_MODEL, KITH_NEXT_VOYAGE_DIMENSION) to the new "
            "model, start again, and run `kith knowledge reindex`"
        )


def hash_of(content: str) -> bytes:
    """SHA-256: what tells contents apart."""
    return hashlib.sha256(content.encode()).digest()


@dataclass(frozen=True)
class NewItem:
    """An item as a caller hands it in. Ids are UUIDs, `occurred_at` is ISO 8601."""

    knowledge_id: str
    content: str
    namespace: str = "default"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    subject_id: str | None = None
    person_id: str | None = None
    group_id: str | None = None
    session_id: str | None = None
    platform: str | None = None
    source_event_id: str | None = None
    source_position: int | None = None
    occurred_at: str | None = None
    request_hash: bytes | None = None

    @property
    def owner(self) -> str:
        """Within whose knowledge the same content is stored once."""
        return self.subject_id or self.group_id or self.session_id or NOBODY

    @property
    def content_hash(self) -> bytes:
        """What tells contents apart."""
        return hash_of(self.content)

    @property
    def body_hash(self) -> bytes:
        """What tells a retry from another request with the same id."""
        if self.request_hash is not None:
            return self.request_hash
        body = (
            self.namespace, self.content, self.metadata, self.subject_id, self.group_id,
            self.session_id, self.platform, self.source_event_id, self.occurred_at,
        )  # fmt: skip
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()


@dataclass(frozen=True)
class Terms:
    """The terms of a text in order of the alphabet, how often each occurs, and words in all."""

    names: Sequence[str]
    counts: Sequence[int]
    total: int


@dataclass(frozen=True)
class Entry:
    """A new item with the terms that words are to find it by."""

    item: NewItem
    terms: Terms


@dataclass(frozen=True)
class Write:
    """One write of an item: a later one of the same item has a higher revision."""

    knowledge_id: str
    revision: int


@dataclass(frozen=True)
class Stored:
    """What a store call met; a deleted item has no write."""

    knowledge_id: str
    outcome: Literal["created", "duplicate", "deleted"]
    revision: int | None


IndexState = Literal["pending", "indexed", "failed"]


@dataclass(frozen=True)
class Item:
    """An item as stored. Times are ISO 8601."""

    knowledge_id: str
    namespace: str
    content: str
    metadata: Mapping[str, Any]
    subject_id: str | None
    person_id: str | None
    group_id: str | None
    session_id: str | None
    platform: str | None
    source_event_id: str | None
    source_position: int | None
    occurred_at: str
    created_at: str
    index_state: IndexState
    embedding_model: str | None
    # Names the write that this is; its text is the item's etag.
    revision: int
    updated_at: str | None = None
    # What the item is derived from, and where it stands in a document.
    document_id: str | None = None
    memory_id: str | None = None
    chunk_number: int | None = None
    place: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Filter:
    """Which items; what is None does not narrow, of several values any will do."""

    namespaces: Sequence[str] | None = None
    subject_ids: Sequence[str] | None = None
    group_id: str | None = None
    session_id: str | None = None
    platform: str | None = None
    occurred_from: str | None = None
    occurred_to: str | None = None
    metadata: Condition | None = None
    document_id: str | None = None

    def as_json(self) -> dict[str, Any]:
        """What is set, by name, as the store takes it: of metadata the paths."""
        given = dict(vars(self))
        if self.metadata is not None:
            given["metadata"], given["metadata_rest"] = paths.split(self.metadata)
        return {name: value for name, value in given.items() if value is not None}

    @property
    def narrowing(self) -> "Filter":
        """The part that every vector index can apply by itself; none of them holds metadata."""
        return Filter(
            namespaces=self.namespaces, subject_ids=self.subject_ids, group_id=self.group_id,
            session_id=self.session_id, occurred_from=self.occurred_from,
            occurred_to=self.occurred_to,
        )  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a page of a list, newest first, ended."""

    occurred_at: str
    knowledge_id: str


@dataclass(frozen=True)
class Space:
    """Vectors that may be compared: of one model, dimension and chunker."""

    name: str
    model: str
    dimension: int
    chunker: str

    def __str__(self) -> str:
        return f"{self.model} with {self.dimension} dimensions ({self.name})"


def space_of(model: str, dimension: int) -> Space:
    """The space of an embedder's vectors, one for each item."""
    name = re.sub("[^a-z0-9]+", "_", f"{model}_{dimension}_{CHUNKER}".lower())
    return Space(name, model, dimension, CHUNKER)


@dataclass(frozen=True)
class Vector:
    """A vector of an item, and what a search by meaning can be narrowed by."""

    knowledge_id: str
    values: Sequence[float]
    namespace: str
    occurred_at: str
    subject_id: str | None = None
    group_id: str | None = None
    session_id: str | None = None
    # SHA-256 of the content that it was made of, in hex.
    content_hash: str | None = None
    # The write that it is of. An index beside the items takes none that is older than what it has.
    revision: int | None = None


@dataclass(frozen=True)
class Indexed:
    """What an index holds of an item beside the numbers; times are ISO 8601.

    `content_hash` is as in Vector, and None where it is not known. Namespace and time are None
    only in what Kith has not written so.
    """

    knowledge_id: str
    namespace: str | None
    occurred_at: str | None
    subject_id: str | None = None
    group_id: str | None = None
    session_id: str | None = None
    content_hash: str | None = None


@dataclass(frozen=True)
class IdPage:
    """Some ids, in order, and where to go on; None at the end."""

    ids: Sequence[str]
    after: str | None


@dataclass(frozen=True)
class Match:
    """An item near a query; the similarity is the cosine, -1 to 1."""

    knowledge_id: str
    similarity: float


# What a row of the queue is there for: an item to index, or a deletion to finish.
Kind = Literal["pending", "deleting"]


@dataclass(frozen=True)
class Task:
    """One row of the indexer's queue: an item to index, or a deletion to finish."""

    knowledge_id: str
    revision: int
    is_deletion: bool
    attempts: int
    waited_seconds: float
    content: str
    namespace: str
    occurred_at: str
    subject_id: str | None
    group_id: str | None
    session_id: str | None


@dataclass(frozen=True)
class Failure:
    """A task that failed: for the how-manyeth time, why, and when to try again."""

    task: Task
    attempts: int
    delay_seconds: float
    is_final: bool
    error: str


@dataclass(frozen=True)
class Backlog:
    """How many tasks wait, and for how long the oldest has."""

    rows: int
    oldest_seconds: float
    # How many were given up.
    dead_letters: int = 0
