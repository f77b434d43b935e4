"""What memories need from outside: a store that keeps them with the items they are found by."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from knowledge_svc.domain.items import Terms
from knowledge_svc.domain.memories import (
    Forgetting,
    Memory,
    MemoryFilter,
    MemoryPlace,
    Sorting,
    Upsert,
    Upserted,
)
from svckit.errors import ServiceError


class MemoryStore(Protocol):
    """Memories by person and key, with their history; each has an item, written with it."""

    async def upsert(
        self, upserts: Sequence[Upsert], terms: Sequence[Sequence[Terms]]
    ) -> list[Sequence[Upserted] | ServiceError]:
        """Set independent requests, each as a whole; no memory may be in two of them.

        `terms` are those of each memory's content. A value, category, importance and metadata
        that are there already change nothing; else there is one more version, and the item
        waits to be indexed. SubjectErased stands in the place of a request about somebody erased.
        """
        ...

    async def delete(self, forgettings: Sequence[Forgetting]) -> list[bool]:
        """Delete memories and their items; whether each request (by its id) deleted one.

        The items are hidden at once; vector and row are left to the queue. The history notes
        the deletion, or goes too.
        """
        ...

    async def get(self, person_ids: Sequence[str], key: str) -> Sequence[Memory]:
        """The memories of a key, in the order of the people; none is fine."""
        ...

    async def read(self, ids: Sequence[str], person_ids: Sequence[str]) -> Mapping[str, Memory]:
        """Those of the memories that are there, by id; `person_ids` tell who is shadowed."""
        ...

    async def page(
        self,
        person_ids: Sequence[str],
        chosen: MemoryFilter,
        sorting: Sorting,
        *,
        after: MemoryPlace | None,
        limit: int,
    ) -> Sequence[Memory]:
        """Memories that fit, from behind a place on: by key, or the most important, the last
        changed, the last read first; equal ones by key, then by person.
        """
        ...

    async def versions(self, memory_id: str, *, before: int | None, limit: int) -> Sequence[Memory]:
        """The versions of a memory, newest first, from below one on, deletions included."""
        ...

    async def count_accesses(
        self, accesses: Mapping[str, tuple[int, float]], flush_id: str
    ) -> None:
        """Add to the counts of memories: how often, and how many seconds ago last.

        What is gone is left out; a flush that is repeated counts once.
        """
        ...
