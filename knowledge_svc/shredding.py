"""Finishes deletions of documents, also where a process died, and uploads that were given up."""

import asyncio
import contextlib
from collections.abc import Callable

from knowledge_svc import metrics
from knowledge_svc.domain.documents import Document
from knowledge_svc.ports.blobs import BlobStore
from knowledge_svc.ports.documents import DocumentStore
from knowledge_svc.spooling import Spool
from svckit import ids, logs
from svckit.errors import Unavailable

log = logs.get(__name__)

_MOST_DELETIONS = 20
# So many pieces are taken away in one step.
_MOST_PIECES = 256
# Whoever took up a deletion finishes it in a part of this, or leaves it.
_LEASE_SECONDS = 30.0
_PIECES_SECONDS, _FILE_SECONDS = 10.0, 10.0
# Whoever deletes waits no longer for the pieces: the document is hidden already.
_CALLER_SECONDS = 2.0
# How often it is looked whether the indexer has removed the pieces.
_LOOK_SECONDS = 0.02
_SWEEP_SECONDS = 600.0


class Shredder:
    """Pieces and vectors first, then the file, then the record.

    Pieces are the indexer's: they stand in its queue of deletions, and `wake` has it look there.
    """

    def __init__(
        self,
        store: DocumentStore,
        blobs: BlobStore,
        spool: Spool,
        wake: Callable[[], None],
        poll_seconds: float,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._spool = spool
        self._wake = wake
        self._poll_seconds = poll_seconds
        self._owner = ids.new()
        self._task: asyncio.Task[None] | None = None
        self._swept_at = float("-inf")

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="shredder")

    async def stop(self) -> None:
        """End at once; what is begun is another replica's, or for later."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def delete(self, document_id: str) -> bool:
        """Delete a document for good; whether it was there.

        It is hidden when this returns; what cannot be removed soon is removed later.
        """
        document = await self._store.start_deletion(
            document_id, request_id=ids.new(), owner=self._owner, lease_seconds=_LEASE_SECONDS
        )
        if document is None:
            return False
        metrics.DOCUMENTS_DELETED.inc()
        await self._finish_or_leave(document, _CALLER_SECONDS)
        return True

    async def _run(self) -> None:
        while True:
            try:
                found = await self._store.claim_deletions(
                    self._owner, most=_MOST_DELETIONS, lease_seconds=_LEASE_SECONDS
                )
                await self._drop_pieces()
                await asyncio.gather(
                    *(self._finish_or_leave(document, _PIECES_SECONDS) for document in found)
                )
                await self._sweep_spool()
            except Exception as error:
                known = isinstance(error, Unavailable)
                log.warning("deletions pause", why=str(error), exc_info=None if known else error)
                found = []
            if len(found) < _MOST_DELETIONS:
                await asyncio.sleep(self._poll_seconds)

    async def _finish_or_leave(self, document: Document, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._pieces_gone(document)
        except (Unavailable, TimeoutError) as error:
            await self._leave(document, error)
            return
        try:
            # Well within the lease: nobody else may be at it when the file goes, for the same
            # bytes may be uploaded anew right after. So one that hangs keeps the lease to its end.
            async with asyncio.timeout(_FILE_SECONDS):
                await self._blobs.delete([document.blob_key])
            await self._store.forget(document)
        except TimeoutError as error:
            log.warning("a file goes slowly", document_id=document.document_id, why=str(error))
        except Unavailable as error:
            await self._leave(document, error)

    async def _leave(self, document: Document, error: Exception) -> None:
        log.warning(
            "a deletion is left for later", document_id=document.document_id, why=str(error)
        )
        with contextlib.suppress(Unavailable):
            await self._store.put_off_deletion(document, seconds=self._poll_seconds)

    async def _pieces_gone(self, document: Document) -> None:
        await self._drop_pieces()
        while await self._store.count_pieces(document.document_id):  # noqa: ASYNC110 - not told
            await asyncio.sleep(_LOOK_SECONDS)

    async def _drop_pieces(self) -> None:
        """Have the indexer remove what nobody is to see any more, also of other documents."""
        while await self._store.drop_pieces(_MOST_PIECES) is not None:
            self._wake()

    async def _sweep_spool(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._swept_at = now
            await self._spool.sweep()
