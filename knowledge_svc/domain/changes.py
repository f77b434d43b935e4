"""Changes of items, and why one may be refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knowledge_svc.domain.items import Terms
from svckit.errors import AlreadyExists, Conflict, FailedPrecondition


@dataclass(frozen=True)
class Change:
    """What is to be different about an item: content with its terms, metadata, or both.

    `metadata_patch` is a JSON merge patch (RFC 7396); `etag` is the one that the item must have.
    """

    knowledge_id: str
    content: str | None = None
    terms: Terms | None = None
    metadata_patch: Mapping[str, Any] | None = None
    etag: str | None = None


class EtagMismatch(Conflict):
    """The item has changed since the etag was read."""

    reason = "ETAG_MISMATCH"

    def __init__(self, knowledge_id: str) -> None:
        super().__init__(
            f"item {knowledge_id} has changed since the etag was read", knowledge_id=knowledge_id
        )


class ContentTaken(AlreadyExists):
    """The owner has another item with this content in this namespace."""

    reason = "CONTENT_TAKEN"

    def __init__(self, knowledge_id: str) -> None:
        super().__init__(f"item {knowledge_id} has this content", knowledge_id=knowledge_id)


class KnowledgeDerived(FailedPrecondition):
    """The item is a piece of a document, or a memory's; `source` names which."""

    reason = "KNOWLEDGE_DERIVED"

    def __init__(self, knowledge_id: str, **source: str) -> None:
        [(kind, one)] = source.items()
        super().__init__(
            f"item {knowledge_id} is derived from {kind.removesuffix('_id')} {one}, which is what "
            "can be changed or deleted",
            knowledge_id=knowledge_id, **source,
        )  # fmt: skip
