"""Shelves: namespaces, and how much stands on each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shelf:
    """A namespace; `last_occurred_at` is ISO 8601, None where there is no item."""

    namespace: str
    items: int
    unindexed_items: int
    documents: int
    document_bytes: int
    last_occurred_at: str | None
