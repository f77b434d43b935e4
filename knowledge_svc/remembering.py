"""Sets and forgets memories: makes the words they are found by, and coalesces concurrent calls."""

import asyncio
from collections.abc import Callable, Sequence

from knowledge_svc import metrics
from knowledge_svc.domain.items import Terms
from knowledge_svc.domain.memories import Forgetting, Upsert, Upserted, content_of
from knowledge_svc.ports.memories import MemoryStore
from knowledge_svc.terms import are_long, terms_of
from svckit.batcher import Batcher, Size
from svckit.errors import ServiceError

_Entry = tuple[Upsert, Sequence[Terms]]


class Remembering:
    """Writes memories; `wake` is called when there is something to index or to remove."""

    def __init__(self, memories: MemoryStore, wake: Callable[[], None]) -> None:
        self._memories = memories
        self._wake = wake
        # Requests that share a memory go one after the other, in the order in which they came.
        self._upserts: Batcher[_Entry, Sequence[Upserted]] = Batcher(
            "knowledge.remember", self._upsert_together,
            measure=_size, keys=lambda entry: entry[0].memory_ids,
        )  # fmt: skip
        self._deletions: Batcher[Forgetting, bool] = Batcher(
            "knowledge.forget", self._delete_together, keys=lambda one: [one.memory_id]
        )

    async def drain(self) -> None:
        """Return when everything that was taken on is done."""
        await self._upserts.close()
        await self._deletions.close()

    async def upsert(self, upserts: Sequence[Upsert]) -> list[Sequence[Upserted] | BaseException]:
        """Set independent requests, each all or none; failures stand in their places."""
        if are_long(memory.value for upsert in upserts for memory in upsert.memories):
            entries = await asyncio.to_thread(_entries, upserts)
        else:
            entries = _entries(upserts)
        return await self._upserts.submit_all(entries)

    async def delete(self, forgettings: Sequence[Forgetting]) -> bool:
        """Forget each; whether any was there. Raises the first failure."""
        outcomes = await self._deletions.submit_all(forgettings)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return any(outcomes)

    async def _upsert_together(
        self, entries: Sequence[_Entry]
    ) -> list[Sequence[Upserted] | ServiceError]:
        outcomes = await self._memories.upsert(
            [upsert for upsert, _ in entries], [terms for _, terms in entries]
        )
        set_now = [one for done in outcomes if not isinstance(done, ServiceError) for one in done]
        changed = sum(one.changed for one in set_now)
        metrics.MEMORIES.labels("changed").inc(changed)
        metrics.MEMORIES.labels("same").inc(len(set_now) - changed)
        if changed:
            self._wake()
        return outcomes

    async def _delete_together(self, forgettings: Sequence[Forgetting]) -> list[bool]:
        outcomes = await self._memories.delete(forgettings)
        metrics.MEMORIES.labels("deleted").inc(sum(outcomes))
        if any(outcomes):
            self._wake()
        return outcomes


def _entries(upserts: Sequence[Upsert]) -> list[_Entry]:
    return [
        (upsert, [terms_of(content_of(memory.key, memory.value)) for memory in upsert.memories])
        for upsert in upserts
    ]


def _size(entry: _Entry) -> Size:
    upsert, terms = entry
    text = sum(len(memory.value) + len(memory.key) for memory in upsert.memories)
    words = sum(len(name) + 8 for of in terms for name in of.names)
    return Size(len(upsert.memories), 2 * text + words + 1024 * len(upsert.memories))
