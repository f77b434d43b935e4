"""Takes files in: the record first, then the file, then the record says that it is there."""

import asyncio
from collections.abc import Callable

from knowledge_svc import metrics
from knowledge_svc.domain.blobs import BlobsUnavailable
from knowledge_svc.domain.documents import (
    ChecksumMismatch,
    Document,
    DocumentNotFound,
    Kept,
    MediaTypeMismatch,
    NewDocument,
)
from knowledge_svc.domain.items import NOBODY, SubjectErased
from knowledge_svc.extraction.media_types import media_type_of, safe_filename
from knowledge_svc.ports.blobs import BlobStore
from knowledge_svc.ports.documents import DocumentStore
from knowledge_svc.spooling import Spooled
from svckit import ids
from svckit.errors import InvalidRequest, Unavailable

# A file is stored in this time, or not at all; a record without its file is swept after the grace.
_PUT_SECONDS = 120.0
_GRACE_SECONDS = 600.0
# An upload that meets a deletion of the same bytes waits for it.
_TRIES = 20
_PAUSE_SECONDS = 0.1


class DocumentBusy(Unavailable):
    """The same document is being deleted just now."""

    def __init__(self, document_id: str) -> None:
        super().__init__(f"document {document_id} is being deleted", document_id=document_id)


class Uploads:
    """Keeps files; `wake` is called when there is a text to read."""

    def __init__(self, store: DocumentStore, blobs: BlobStore, wake: Callable[[], None]) -> None:
        self._store = store
        self._blobs = blobs
        self._wake = wake

    async def keep(self, new: NewDocument, file: Spooled) -> Kept:
        """Keep a file, or answer the document that it is already, whose lost original it replaces.

        Whatever dies on the way, a retry goes on with it, and without one nothing is left.
        """
        await file.end()
        if new.sha256 not in (None, file.sha256):
            raise ChecksumMismatch
        media_type = await asyncio.to_thread(_media_type_of, new, file)
        request_id = ids.new()
        for _ in range(_TRIES):
            record = await self._begin(new, file, media_type, request_id)
            if record.state == "deleting":
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            is_new = record.state == "storing"
            if not is_new and not await self._has_lost_file(record):
                metrics.UPLOADS.labels("known").inc()
                return Kept(record, created=False)
            await self._put(record, file)
            kept = await (self._commit(record, request_id) if is_new else self._restore(record))
            if kept is not None:
                metrics.UPLOADS.labels("stored").inc()
                metrics.UPLOADED_BYTES.inc(file.size)
                self._wake()
                return kept
        raise DocumentBusy(record.document_id)

    async def _begin(
        self, new: NewDocument, file: Spooled, media_type: str, request_id: str
    ) -> Document:
        document_id = new.document_id(file.sha256)
        # An erasure takes away all that stands below its subject, which a group or session is not.
        whose, name = new.subject_id or NOBODY, safe_filename(new.filename)
        return await self._store.begin(
            new, sha256=file.sha256, size=file.size, media_type=media_type,
            blob_key=f"{new.namespace}/{whose}/{document_id}/{name}",
            request_id=request_id, grace_seconds=_GRACE_SECONDS,
        )  # fmt: skip

    async def _commit(self, record: Document, request_id: str) -> Kept | None:
        try:
            return await self._store.commit(record.document_id, request_id=request_id)
        except SubjectErased:
            # The erasure waits for this file.
            await self._store.give_up(record.document_id, request_id=request_id)
            raise

    async def _has_lost_file(self, record: Document) -> bool:
        if record.is_lost:
            return True
        blob = await self._blobs.stat(record.blob_key)
        if blob is not None and blob.size == record.size:
            return False
        try:
            await self._store.get(record.document_id)
        except DocumentNotFound:
            # It was deleted meanwhile, and its file with it.
            return False
        return True

    async def _restore(self, record: Document) -> Kept | None:
        try:
            document = await self._store.restore(record)
        except SubjectErased:
            # The erasure may have been through the files already.
            await self._blobs.delete([record.blob_key])
            raise
        return Kept(document, created=False) if document else None

    async def _put(self, record: Document, file: Spooled) -> None:
        try:
            async with asyncio.timeout(_PUT_SECONDS):
                await self._blobs.put(record.blob_key, file.path, media_type=record.media_type)
        except TimeoutError:
            raise BlobsUnavailable("the blob store takes too long") from None


def _media_type_of(new: NewDocument, file: Spooled) -> str:
    try:
        return media_type_of(file.path, new.filename, new.media_type)
    except InvalidRequest as error:
        [(field, problem)] = error.violations
        raise MediaTypeMismatch(f"document.{field}", problem) from None
