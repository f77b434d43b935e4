"""Takes away everything that is kept of subjects: rows, files, vectors.

Nothing is remembered here between steps: what is left is looked for anew, so a call that dies or
runs out of time is gone on with by the next, anywhere.
"""

import asyncio
from collections.abc import Mapping, Sequence

from knowledge_svc import metrics
from knowledge_svc.domain.erasing import KINDS
from knowledge_svc.domain.items import Filter, Space
from knowledge_svc.ports.blobs import BlobStore
from knowledge_svc.ports.erasing import ErasureStore
from knowledge_svc.ports.items import MOST_MATCHES, ItemStore, VectorIndex
from knowledge_svc.removing import removed_in
from svckit import ids

# Some tens of milliseconds for the store.
STEP_ROWS = 500
STEP_FILES = 100
# Then what its process did not finish is anybody's; so files are removed well within, or not.
_LEASE_SECONDS = 10.0
_FILES_LEASE_SECONDS, _FILES_SECONDS = 30.0, 10.0
# How soon to look again for what an indexer or an upload is at.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_MOST_FILES = 10_000


class Erasing:
    """Erases and counts, in all three stores."""

    def __init__(
        self, store: ErasureStore, items: ItemStore, index: VectorIndex, blobs: BlobStore
    ) -> None:
        self._store = store
        self._items = items
        self._index = index
        self._blobs = blobs
        self._owner = ids.new()

    async def erase(self, subject_ids: Sequence[str]) -> dict[str, int]:
        """Return when nothing is left; how much was erased in all, by kind.

        Before anything is taken away, the subjects are closed to every writer.
        """
        await self._store.close(subject_ids)
        spaces = await self._store.spaces()
        # As any deletion of a document: nobody sees it first, then pieces, file, row.
        while await self._store.hide_documents(subject_ids, most=STEP_FILES):
            pass
        await self._erase_items(subject_ids, spaces)
        await self._erase_memories(subject_ids)
        await self._erase_documents(subject_ids)
        while await self._store.unname(subject_ids, most=STEP_ROWS):
            pass
        # What has no row: left behind by a crash, or by a repair that was not made yet.
        for space in spaces:
            await self._index.delete_where(space.name, Filter(subject_ids=subject_ids))
        while keys := await self._blobs.owned(subject_ids, limit=STEP_FILES):
            await self._blobs.delete(keys)
        return _by_kind(await self._store.erased_in_all(subject_ids))

    async def count(self, subject_ids: Sequence[str]) -> dict[str, int]:
        """How much is left in each store, by kind; of vectors and files 10,000 at most are counted.

        Vectors are asked of the index and files of the blob store, whatever the rows say.
        """
        rows = await self._store.count(subject_ids)
        files = await self._blobs.owned(subject_ids, limit=_MOST_FILES)
        vectors = 0
        for space in await self._store.spaces():
            # Any direction will do: every vector has some similarity to it.
            matches = await self._index.nearest(
                space.name, [1.0, *[0.0] * (space.dimension - 1)],
                limit=MOST_MATCHES, narrow=Filter(subject_ids=subject_ids),
            )  # fmt: skip
            vectors += len(matches)
        return _by_kind({**rows, "files": len(files), "vectors": vectors})

    async def _erase_items(self, subject_ids: Sequence[str], spaces: Sequence[Space]) -> None:
        pause = _FIRST_PAUSE
        while True:
            doomed = await self._store.take_items(
                subject_ids, owner=self._owner, lease_seconds=_LEASE_SECONDS, most=STEP_ROWS
            )
            if doomed.ids:
                # In this order a crash in between leaves a deletion that the queue knows of.
                for space in spaces:
                    await self._index.delete(space.name, doomed.ids)
                await self._items.finish_deletions(doomed.ids, owner=self._owner)
                metrics.ERASED.labels("items").inc(len(doomed.ids))
                pause = _FIRST_PAUSE
            elif doomed.held:
                pause = await _rested(pause)
            else:
                return

    async def _erase_memories(self, subject_ids: Sequence[str]) -> None:
        while await self._store.erase_memories(subject_ids, most=STEP_ROWS):
            pass

    async def _erase_documents(self, subject_ids: Sequence[str]) -> None:
        pause = _FIRST_PAUSE
        while True:
            doomed = await self._store.take_documents(
                subject_ids, owner=self._owner, lease_seconds=_FILES_LEASE_SECONDS, most=STEP_FILES
            )
            if doomed.documents:
                keys = [document.blob_key for document in doomed.documents]
                await removed_in(_FILES_SECONDS, self._blobs, keys)
                await self._store.forget_documents(
                    [document.document_id for document in doomed.documents], owner=self._owner
                )
                metrics.ERASED.labels("documents").inc(len(doomed.documents))
                pause = _FIRST_PAUSE
            elif doomed.held:
                pause = await _rested(pause)
            else:
                return


def _by_kind(counts: Mapping[str, int]) -> dict[str, int]:
    return {kind: counts.get(kind, 0) for kind in KINDS}


async def _rested(pause: float) -> float:
    """Wait for somebody else; how long to wait the next time."""
    await asyncio.sleep(pause)
    return min(pause * 2, _LONGEST_PAUSE)
