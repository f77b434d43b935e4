"""Takes items in and away: makes the words they are found by, and coalesces concurrent calls."""

import asyncio
from collections.abc import Callable, Sequence

from knowledge_svc.domain.items import Entry, NewItem, Stored
from knowledge_svc.ports.items import ItemStore, VectorIndex
from knowledge_svc.spaces import Spaces
from knowledge_svc.terms import terms_of
from svckit import ids, logs
from svckit.batcher import Batcher, Size
from svckit.errors import ServiceError, Unavailable

log = logs.get(__name__)

# More content than this is taken apart in a thread; the loop has others to answer.
_INLINE_CHARACTERS = 20_000
# After this a deletion that its process did not finish is finished by an indexer.
_DELETION_LEASE_SECONDS = 10.0
# Whoever deletes waits no longer for a slow index: the item is hidden already.
_REMOVAL_SECONDS = 2.0


class Ingest:
    """Stores and deletes; `wake` is called when there is something new to index."""

    def __init__(
        self, items: ItemStore, index: VectorIndex, spaces: Spaces, wake: Callable[[], None]
    ) -> None:
        self._items = items
        self._index = index
        self._spaces = spaces
        self._wake = wake
        self._owner = ids.new()
        self._stores: Batcher[Entry, Stored] = Batcher(
            "knowledge.store", self._store_together, measure=_size
        )
        self._deletions: Batcher[tuple[str, str], bool] = Batcher(
            "knowledge.delete", self._delete_together
        )

    async def drain(self) -> None:
        """Return when everything that was taken on is done."""
        await self._stores.close()
        await self._deletions.close()

    async def store(self, items: Sequence[NewItem]) -> list[Stored | BaseException]:
        """Keep independent items; failures stand in their places."""
        if sum(len(item.content) for item in items) > _INLINE_CHARACTERS:
            entries = await asyncio.to_thread(_entries, items)
        else:
            entries = _entries(items)
        return await self._stores.submit_all(entries)

    async def delete(self, knowledge_id: str) -> bool:
        """Delete an item for good; whether it was there."""
        return await self._deletions.submit((knowledge_id, ids.new()))

    async def _store_together(self, entries: Sequence[Entry]) -> list[Stored | ServiceError]:
        outcomes = await self._items.store(entries)
        if any(isinstance(stored, Stored) and stored.outcome == "created" for stored in outcomes):
            self._wake()
        return outcomes

    async def _delete_together(self, requests: Sequence[tuple[str, str]]) -> list[bool]:
        # In this order a crash in between leaves a deletion that the queue knows of.
        outcomes = await self._items.start_deletions(
            [knowledge_id for knowledge_id, _ in requests],
            [request for _, request in requests],
            owner=self._owner,
            lease_seconds=_DELETION_LEASE_SECONDS,
        )
        deleted = [one for (one, _), is_new in zip(requests, outcomes, strict=True) if is_new]
        if deleted:
            try:
                async with asyncio.timeout(_REMOVAL_SECONDS):
                    # As of now: whoever lets another space serve takes the deletion over.
                    await self._index.delete(await self._spaces.serving(), deleted)
                await self._items.finish_deletions(deleted, owner=self._owner)
            except (Unavailable, TimeoutError) as error:
                log.warning("deletions are left to the indexer", why=str(error))
        return outcomes


def _entries(items: Sequence[NewItem]) -> list[Entry]:
    return [Entry(item, terms_of(item.content)) for item in items]


def _size(entry: Entry) -> Size:
    terms = sum(map(len, entry.terms.names)) + 8 * len(entry.terms.names)
    return Size(bytes=len(entry.item.content) + terms + 1024)
