"""Hands out all that is kept of subjects: a page of rows, or a block of a file, at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from knowledge_svc.domain.blobs import BlobNotFound
from knowledge_svc.domain.documents import Document
from knowledge_svc.domain.items import Item
from knowledge_svc.domain.memories import Memory
from knowledge_svc.ports.blobs import BlobStore
from knowledge_svc.ports.erasing import ExportStore
from svckit import logs

log = logs.get(__name__)

T = TypeVar("T")

# Of an item at most some 50 KiB.
PAGE_ROWS = 200


class Exporting:
    """Exports over the rows and the files; the next page is read when the last was taken."""

    def __init__(self, store: ExportStore, blobs: BlobStore) -> None:
        self._store = store
        self._blobs = blobs

    async def export(
        self, subject_ids: Sequence[str]
    ) -> AsyncIterator[Item | Memory | Document | bytes]:
        """Items, then versions of memories, then documents, each followed by its file's bytes.

        What is written meanwhile may be in it or not. A document whose file is not there comes
        without bytes.
        """
        async for item in _all(lambda after: self._store.items(
            subject_ids, after=after, limit=PAGE_ROWS
        )):  # fmt: skip
            yield item
        async for version in _all(lambda after: self._store.memories(
            subject_ids, after=after, limit=PAGE_ROWS
        )):  # fmt: skip
            yield version
        async for document in _all(lambda after: self._store.documents(
            subject_ids, after=after, limit=PAGE_ROWS
        )):  # fmt: skip
            yield document
            try:
                async for block in self._blobs.read(document.blob_key):
                    yield block
            except BlobNotFound:
                log.warning("a document has no file", document_id=document.document_id)


async def _all(page: Callable[[T | None], Awaitable[Sequence[T]]]) -> AsyncIterator[T]:
    """Each row, page by page, from the last one's place on."""
    rows = await page(None)
    while rows:
        for row in rows:
            yield row
        rows = await page(rows[-1]) if len(rows) == PAGE_ROWS else ()
