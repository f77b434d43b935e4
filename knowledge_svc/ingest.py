"""Takes items in and away: makes the words they are found by, and coalesces concurrent calls."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from knowledge_svc.domain.changes import Change
from knowledge_svc.domain.items import Entry, Item, NewItem, Stored, Terms
from knowledge_svc.pace import Pace
from knowledge_svc.ports.items import ItemStore, VectorIndex
from knowledge_svc.spaces import Spaces
from knowledge_svc.terms import are_long, terms_of
from svckit import ids, logs
from svckit.batcher import Batcher, Size
from svckit.errors import ServiceError, Unavailable

log = logs.get(__name__)

# Whoever deletes waits no longer for a slow index: the item is hidden already.
_REMOVAL_SECONDS = 2.0


class Ingest:
    """Stores, changes and deletes; `wake` is called when there is something new to index."""

    def __init__(
        self,
        items: ItemStore,
        index: VectorIndex,
        spaces: Spaces,
        wake: Callable[[], None],
        pace: Pace,
    ) -> None:
        self._items = items
        self._index = index
        self._spaces = spaces
        self._wake = wake
        self._pace = pace
        self._owner = ids.new()
        self._stores: Batcher[Entry, Stored] = Batcher(
            "knowledge.store", self._store_together, measure=_size
        )
        self._updates: Batcher[Change, Item] = Batcher(
            "knowledge.update", self._update_together,
            measure=_size_of_change, keys=lambda change: [change.knowledge_id],
        )  # fmt: skip
        self._deletions: Batcher[tuple[str, str], bool] = Batcher(
            "knowledge.delete", self._delete_together
        )

    async def drain(self) -> None:
        """Return when everything that was taken on is done."""
        await self._stores.close()
        await self._updates.close()
        await self._deletions.close()

    async def store(self, items: Sequence[NewItem]) -> list[Stored | BaseException]:
        """Keep independent items; failures stand in their places."""
        if are_long(item.content for item in items):
            entries = await asyncio.to_thread(_entries, items)
        else:
            entries = _entries(items)
        return await self._stores.submit_all(entries)

    async def update(self, change: Change) -> Item:
        """Change an item; what of it is there already is no change."""
        if change.content is not None:
            if are_long([change.content]):
                terms = await asyncio.to_thread(terms_of, change.content)
            else:
                terms = terms_of(change.content)
            change = replace(change, terms=terms)
        return await self._updates.submit(change)

    async def delete(self, knowledge_id: str, *, bar: bool = False) -> bool:
        """Delete an item for good; whether it was there.

        To `bar` is to see to it that one which is not there never comes.
        """
        while not (deleted := await self._deletions.submit((knowledge_id, ids.new()))):
            # Where it came just now, it is to be deleted after all.
            if not bar or await self._items.bar(knowledge_id, ids.new()):
                break
        return deleted

    async def _store_together(self, entries: Sequence[Entry]) -> list[Stored | ServiceError]:
        outcomes = await self._items.store(entries)
        if any(isinstance(stored, Stored) and stored.outcome == "created" for stored in outcomes):
            self._wake()
        return outcomes

    async def _update_together(self, changes: Sequence[Change]) -> list[Item | ServiceError]:
        outcomes = await self._items.update(changes)
        if any(isinstance(item, Item) and item.index_state == "pending" for item in outcomes):
            self._wake()
        return outcomes

    async def _delete_together(
        self, requests: Sequence[tuple[str, str]]
    ) -> list[bool | ServiceError]:
        # In this order a crash in between leaves a deletion that the queue knows of.
        outcomes = await self._items.start_deletions(
            [knowledge_id for knowledge_id, _ in requests],
            [request for _, request in requests],
            owner=self._owner,
            lease_seconds=self._pace.deletion_seconds,
        )
        deleted = [
            one for (one, _), is_new in zip(requests, outcomes, strict=True) if is_new is True
        ]
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
    return Size(bytes=len(entry.item.content) + _bytes_of(entry.terms) + 1024)


def _size_of_change(change: Change) -> Size:
    terms = _bytes_of(change.terms) if change.terms else 0
    return Size(bytes=len(change.content or "") + terms + 1024)


def _bytes_of(terms: Terms) -> int:
    return sum(map(len, terms.names)) + 8 * len(terms.names)
