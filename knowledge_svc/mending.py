"""What is done about findings: rows are written anew, what no row knows is removed.

Rows change only under the condition that they are still of the write that was looked at. Vectors
and files go in steps of which every one may be the last: a note, which keeps others from using the
key or tells who did; then the vector or file itself; then the note. `docs/integrity.md` has why.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from knowledge_svc.domain.blobs import Blob
from knowledge_svc.domain.integrity import (
    Action,
    Care,
    Chosen,
    Finding,
    Kind,
    Repair,
    VectorsUnavailable,
)
from knowledge_svc.domain.items import Space, Write
from knowledge_svc.ports.blobs import BlobStore
from knowledge_svc.ports.integrity import RepairStore
from knowledge_svc.ports.items import VectorIndex
from knowledge_svc.removing import removed_in
from svckit import ids, logs
from svckit.errors import Unavailable

log = logs.get(__name__)

# After this a file that its repair did not remove is the next one's, or the queue's; so it is
# removed well within, or not: the same bytes may be uploaded again right after.
_ADOPTION_SECONDS = 60.0
_FILES_SECONDS = 20.0

_LOST = (Kind.FILE_MISSING, Kind.FILE_CORRUPT)


class Mender(Protocol):
    """What mends the findings of one survey."""

    async def preview(self, findings: Sequence[Finding]) -> list[Repair]:
        """What would be done; changes nothing."""
        ...

    async def begin(self) -> None:
        """Finish what repairs have left that died."""
        ...

    async def mend(self, findings: Sequence[Finding]) -> list[Repair]:
        """Mend what still is as it was found; what is put off comes with `end`."""
        ...

    async def end(self) -> list[Repair]:
        """What was put off."""
        ...


class ItemMender:
    """Items are indexed anew, and their deletions taken up again."""

    def __init__(self, store: RepairStore) -> None:
        self._store = store

    async def preview(self, findings: Sequence[Finding]) -> list[Repair]:
        return [Repair(finding, _item_action(finding)) for finding in findings]

    async def begin(self) -> None:
        """Nothing is left half done."""

    async def mend(self, findings: Sequence[Finding]) -> list[Repair]:
        deletions = [one for one in findings if one.kind is Kind.STUCK_DELETING]
        others = [one for one in findings if one.kind is not Kind.STUCK_DELETING]
        writes = [Write(one.knowledge_id, one.revision) for one in others]
        done = await self._store.requeue(writes) if others else []
        resumed = (
            await self._store.resume_deletions([one.knowledge_id for one in deletions])
            if deletions
            else []
        )
        return [
            Repair(finding, _item_action(finding) if is_done else Action.GONE)
            for finding, is_done in zip([*others, *deletions], [*done, *resumed], strict=True)
        ]

    async def end(self) -> list[Repair]:
        return []


class DocumentMender:
    """Texts are read anew, uploads and deletions finished; a lost original is marked as that.

    A blob store that holds nothing at all is likelier a folder that is not mounted than one in
    which every file is lost: it has nobody marked.
    """

    def __init__(self, store: RepairStore, blobs: BlobStore) -> None:
        self._store = store
        self._blobs = blobs

    async def preview(self, findings: Sequence[Finding]) -> list[Repair]:
        # Of a document without its original nothing else can be mended.
        lost = {one.document_id for one in findings if one.kind in _LOST}
        loss = Action.LEFT if lost and await self._is_away() else Action.MARKED_LOST
        return [
            Repair(one, loss if one.document_id in lost else _document_action(one))
            for one in findings
        ]

    async def begin(self) -> None:
        """Nothing is left half done."""

    async def mend(self, findings: Sequence[Finding]) -> list[Repair]:
        foretold = [
            repair for repair in await self.preview(findings) if repair.action is not Action.LEFT
        ]
        left = {*findings} - {repair.finding for repair in foretold}
        losses = [one.finding for one in foretold if one.finding.kind in _LOST]
        others = [one.finding for one in foretold if one.action is not Action.MARKED_LOST]
        done: dict[str, bool] = {}
        for chosen, mend in (
            (losses, self._store.mark_lost), (others, self._store.requeue_documents),
        ):  # fmt: skip
            by_id = {one.document_id: one for one in chosen}
            if by_id:
                done.update(zip(by_id, await mend([*by_id.values()]), strict=True))
        mended = [
            Repair(one.finding, one.action if done[one.finding.document_id] else Action.GONE)
            for one in foretold
        ]
        return [*mended, *(Repair(one, Action.LEFT) for one in left)]

    async def end(self) -> list[Repair]:
        return []

    async def _is_away(self) -> bool:
        return not (await self._blobs.page(after=None, limit=1)).blobs


class VectorMender:
    """Vectors without items are removed: of deleted ones at once, of others after the grace period.

    An item may come to an id that had none, in the very moment in which its vector is removed.
    pgvector looks at the items itself; elsewhere whoever comes is indexed once more.
    """

    def __init__(
        self,
        store: RepairStore,
        index: VectorIndex,
        space: Space,
        chosen: Chosen,
        care: Care,
        *,
        is_told_of_all: bool,
    ) -> None:
        self._store = store
        self._index = index
        self._space = space.name
        # Else that a walk does not meet a suspect again says nothing.
        self._is_told_of_all = is_told_of_all
        self._grace_seconds = chosen.grace_seconds
        self._care = care
        self._put_off: list[Finding] = []
        # When the last of those put off has been a suspect for long enough, on the loop's clock.
        self._ripe_at = 0.0
        self._began_at = time.monotonic()

    async def preview(self, findings: Sequence[Finding]) -> list[Repair]:
        own = [one.knowledge_id for one in findings if ids.is_uuid(one.knowledge_id)]
        known = await self._store.known_suspects(self._space, own) if own else {}
        return [
            Repair(
                one,
                Action.VECTOR_DELETED
                if one.state == "deleted"
                or known.get(one.knowledge_id, -1.0) >= self._grace_seconds
                else Action.LEFT,
            )
            for one in findings
        ]

    async def begin(self) -> None:
        renewed = await self._store.settle(self._space, None)
        if renewed:
            log.info("items are indexed anew after a repair that died", items=renewed)

    async def mend(self, findings: Sequence[Finding]) -> list[Repair]:
        # What no item could be called is somebody else's: told of, and left.
        foreign = [one for one in findings if not ids.is_uuid(one.knowledge_id)]
        own = {one.knowledge_id: one for one in findings if ids.is_uuid(one.knowledge_id)}
        if not own:
            return [Repair(one, Action.LEFT) for one in foreign]
        known = await self._store.note_suspects(self._space, [*own])
        removed = await self._remove([*own])
        young = [one for one in own.values() if one.knowledge_id not in removed]
        mended = [Repair(one, Action.LEFT) for one in foreign]
        mended += [Repair(own[one], Action.VECTOR_DELETED) for one in removed]
        if len(self._put_off) + len(young) > self._care.most_waiting:
            return mended + [Repair(one, Action.LEFT) for one in young]
        for one in young:
            age = known.get(one.knowledge_id, 0.0)
            ripe_at = asyncio.get_running_loop().time() + self._grace_seconds - age
            self._ripe_at = max(self._ripe_at, ripe_at)
        self._put_off += young
        return mended

    async def end(self) -> list[Repair]:
        put_off, self._put_off = self._put_off, []
        seconds = self._ripe_at - asyncio.get_running_loop().time()
        removed: set[str] = set()
        if put_off and seconds <= self._care.patience_seconds:
            await asyncio.sleep(max(seconds, 0))
            removed = await self._remove([one.knowledge_id for one in put_off])
        if self._is_told_of_all:
            unseen = int(time.monotonic() - self._began_at) + 1
            await self._store.forget_suspects(self._space, unseen_seconds=unseen)
        return [
            Repair(one, Action.VECTOR_DELETED if one.knowledge_id in removed else Action.LEFT)
            for one in put_off
        ]

    async def _remove(self, wanted: Sequence[str]) -> set[str]:
        condemned = await self._store.condemn(
            self._space, wanted, grace_seconds=self._grace_seconds
        )
        if condemned:
            try:
                await self._index.discard(self._space, condemned)
            except Unavailable as error:
                raise VectorsUnavailable(error.message) from error
            await self._store.settle(self._space, condemned)
        return set(condemned)


class FileMender:
    """Files without documents are removed, each as the file of a document under deletion: so
    nobody can upload under its key meanwhile, and somebody finishes it after a crash.
    """

    def __init__(self, store: RepairStore, blobs: BlobStore) -> None:
        self._store = store
        self._blobs = blobs
        self._owner = ids.new()

    async def preview(self, findings: Sequence[Finding]) -> list[Repair]:
        return [Repair(finding, Action.FILE_DELETED) for finding in findings]

    async def begin(self) -> None:
        while await self._remove([]):
            """There may be more than are adopted together."""

    async def mend(self, findings: Sequence[Finding]) -> list[Repair]:
        removed = await self._remove(findings)
        return [
            Repair(one, Action.FILE_DELETED if one.blob_key in removed else Action.GONE)
            for one in findings
        ]

    async def end(self) -> list[Repair]:
        return []

    async def _remove(self, findings: Sequence[Finding]) -> set[str]:
        files = [Blob(one.blob_key, one.size, one.state) for one in findings]
        keys = await self._store.adopt_files(
            files, owner=self._owner, lease_seconds=_ADOPTION_SECONDS
        )
        if keys:
            await removed_in(_FILES_SECONDS, self._blobs, keys)
            await self._store.forget_files(keys, owner=self._owner)
        return set(keys)


def _item_action(finding: Finding) -> Action:
    is_deletion = finding.kind is Kind.STUCK_DELETING
    return Action.DELETION_RESUMED if is_deletion else Action.REQUEUED


def _document_action(finding: Finding) -> Action:
    if finding.kind is Kind.STUCK_DELETING:
        return Action.DELETION_RESUMED
    # An upload that was broken off is finished by whoever finishes uploads.
    is_upload = finding.state == "storing"
    return Action.REQUEUED if is_upload else Action.EXTRACTION_REQUEUED
