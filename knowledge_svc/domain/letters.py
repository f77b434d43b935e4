"""Dead letters: items that the indexer gave up."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class DeadLetter:
    """An item that was given up in a space, and why. Times are ISO 8601."""

    knowledge_id: str
    namespace: str
    error: str
    attempts: int
    failed_at: str
    pending_since: str
    space: str


@dataclass(frozen=True)
class LetterPlace:
    """Where a page, the last given up first, ended."""

    failed_at: str
    knowledge_id: str


@dataclass(frozen=True)
class Letters:
    """One page, and how many there are in all."""

    total: int
    letters: Sequence[DeadLetter]
