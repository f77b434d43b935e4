"""Memories: single facts about people, by key; what is asked of them, and their errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from svckit import ids
from svckit.errors import NotFound

# The shelf of the items that memories are found by; nothing else may stand on it.
NAMESPACE = "memories"


class MemoryNotFound(NotFound):
    """There is no such memory."""

    reason = "MEMORY_NOT_FOUND"

    def __init__(self, person_id: str, key: str) -> None:
        super().__init__(f"person {person_id} has no memory {key!r}", person_id=person_id, key=key)


def memory_id(person_id: str, key: str) -> str:
    """The id of what is remembered of a person under a key."""
    return ids.named("memory", person_id, key)


def content_of(key: str, value: str) -> str:
    """What a memory is found by: the key says what the value is about, often in words that the
    value lacks.
    """
    return f"{key}: {value}"


@dataclass(frozen=True)
class NewMemory:
    """What is to be remembered; `importance` None leaves it, or is 0.5 for a new one.

    `occurred_at` is ISO 8601, None for now.
    """

    key: str
    value: str
    category: str = ""
    importance: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source_event_id: str | None = None
    occurred_at: str | None = None


@dataclass(frozen=True)
class Upsert:
    """Memories of one person to set together.

    `request_id` names the call, so that it can be repeated; `person_ids` are those who are one
    with the person, the one who counts first.
    """

    person_id: str
    memories: Sequence[NewMemory]
    request_id: str = field(default_factory=ids.new)
    person_ids: Sequence[str] = ()

    @property
    def memory_ids(self) -> list[str]:
        """Which memories it sets, in order."""
        return [memory_id(self.person_id, memory.key) for memory in self.memories]


@dataclass(frozen=True)
class Forgetting:
    """A memory to delete; with `purge` its history too."""

    person_id: str
    key: str
    purge: bool = False
    request_id: str = field(default_factory=ids.new)

    @property
    def memory_id(self) -> str:
        """Which memory it deletes."""
        return memory_id(self.person_id, self.key)


@dataclass(frozen=True)
class Memory:
    """A memory as it is, or one version of it. Times are ISO 8601.

    `knowledge_id` is None for versions of the past.
    """

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
    knowledge_id: str | None
    # Who, of people who are one, has the memory of this key that counts in place of this one.
    shadowed_by: str | None
    is_deletion: bool = False


@dataclass(frozen=True)
class Upserted:
    """A memory as it is after a call, whether the call changed it, and its item's write."""

    memory: Memory
    changed: bool
    revision: int


Sorting = Literal["key", "importance", "updated", "accessed"]


@dataclass(frozen=True)
class MemoryFilter:
    """Which memories; of several categories any will do, None does not narrow."""

    categories: Sequence[str] | None = None
    least: float = 0.0
    exclude_shadowed: bool = False

    def as_json(self) -> dict[str, Any]:
        """What is set, by name."""
        return {name: value for name, value in vars(self).items() if value}

    def admits(self, memory: Memory) -> bool:
        """Whether a memory fits."""
        return (
            (not self.categories or memory.category in self.categories)
            and memory.importance >= self.least
            and not (self.exclude_shadowed and memory.shadowed_by)
        )


@dataclass(frozen=True)
class MemoryPlace:
    """Where a page of a list ended; `rank` is what the list goes by, None for the key alone."""

    rank: float | str | None
    key: str
    person_id: str


@dataclass(frozen=True)
class Recollection:
    """A memory found; scores compare within one answer."""

    memory: Memory
    score: float
