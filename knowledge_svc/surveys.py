"""The four ways through the stores: items, vectors, documents, files.

A survey reads pages by key and keeps none. What looks wrong in a page is looked at again after a
while, and told of where it is wrong still and nobody has written it in between; so a walk needs no
lock and no snapshot. `docs/integrity.md` has how each fault is told from a live write.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from knowledge_svc.domain.blobs import Blob, BlobNotFound
from knowledge_svc.domain.integrity import (
    Chosen,
    DocumentLook,
    FileLook,
    Finding,
    ItemLook,
    Kind,
    Stage,
    Stranger,
    VectorsUnavailable,
)
from knowledge_svc.domain.items import Indexed, Space
from knowledge_svc.domain.judging import judge_document, judge_item
from knowledge_svc.ports.blobs import BlobStore
from knowledge_svc.ports.integrity import IntegrityStore
from knowledge_svc.ports.items import VectorIndex
from svckit import ids
from svckit.errors import Unavailable

Suspect = TypeVar("Suspect")
Look = TypeVar("Look", ItemLook, DocumentLook)

_ITEMS_PAGE, _VECTORS_PAGE, _DOCUMENTS_PAGE, _FILES_PAGE = 500, 1_000, 50, 1_000
# Of a few shelves a page is what is left of so many rows.
_SCANNED_PAGE = 2_000
_FILES_AT_ONCE = 8


@dataclass(frozen=True)
class Page(Generic[Suspect]):
    """How many were looked at, which of them look wrong, and where to go on; None at the end."""

    looked_at: int
    suspects: Sequence[Suspect]
    after: str | None


class Survey(Protocol[Suspect]):
    """One way through the stores.

    Raises VectorsUnavailable, BlobsUnavailable or Unavailable where one cannot be reached: what
    cannot be looked at is not missing.
    """

    stage: Stage

    async def total(self) -> int:
        """About how many there are to look at; 0 where nobody knows."""
        ...

    async def page(self, after: str | None) -> Page[Suspect]:
        """The next ones."""
        ...

    async def again(self, suspects: Sequence[Suspect]) -> Sequence[Finding]:
        """What does not fit about those that nobody has written since they looked wrong."""
        ...


class ItemSurvey:
    """From each item to its vector."""

    stage: Stage = "items"

    def __init__(
        self, store: IntegrityStore, index: VectorIndex, space: Space, chosen: Chosen
    ) -> None:
        self._store = store
        self._index = index
        self._space = space
        self._chosen = chosen

    async def total(self) -> int:
        return 0 if self._chosen.namespaces else (await self._store.totals())[0]

    async def page(self, after: str | None) -> Page[ItemLook]:
        shelves = self._chosen.namespaces
        limit = _SCANNED_PAGE if shelves else _ITEMS_PAGE
        page = await self._store.items(after=after, limit=limit, namespaces=shelves)
        vectors = await vectors_of(self._index, self._space, page.items)
        odd = [item for item in page.items if self._judge(item, vectors)]
        return Page(len(page.items), odd, page.after)

    async def again(self, suspects: Sequence[ItemLook]) -> list[Finding]:
        wrong = {item.knowledge_id: item for item in suspects}
        before = await self._store.items_again([*wrong])
        vectors = await vectors_of(self._index, self._space, before.values())
        after = await self._store.items_again([*wrong])
        still = _unwritten(wrong, before, after)
        return [finding for item in still for finding in self._judge(item, vectors)]

    def _judge(self, item: ItemLook, vectors: Mapping[str, Indexed]) -> list[Finding]:
        vector = vectors.get(item.knowledge_id)
        return judge_item(item, vector, self._space, self._chosen.grace_seconds)


class VectorSurvey:
    """From each vector to its item.

    Rows are committed before their vectors are written, and vectors are removed before their rows
    are. So a vector without any row is no write in flight; and if it is a deletion that
    was in flight, the vector is gone at the second look.
    """

    stage: Stage = "vectors"

    def __init__(self, store: IntegrityStore, index: VectorIndex, space: Space) -> None:
        self._store = store
        self._index = index
        self._space = space

    async def total(self) -> int:
        return (await self._store.totals())[0]

    async def page(self, after: str | None) -> Page[Stranger]:
        try:
            page = await self._index.ids(self._space.name, after=after, limit=_VECTORS_PAGE)
        except Unavailable as error:
            raise VectorsUnavailable(error.message) from error
        return Page(len(page.ids), await self._strangers(page.ids), page.after)

    async def again(self, suspects: Sequence[Stranger]) -> list[Finding]:
        # In this order: a row that comes before its vector is seen.
        wanted = [suspect.knowledge_id for suspect in suspects]
        held = await _fetch(self._index, self._space, wanted)
        strangers = await self._strangers([vector.knowledge_id for vector in held])
        return [self._finding(stranger) for stranger in strangers]

    async def _strangers(self, found: Sequence[str]) -> list[Stranger]:
        # An index may hold what no item could ever be called.
        foreign = [Stranger(one, False) for one in found if not ids.is_uuid(one)]
        own = [one for one in found if ids.is_uuid(one)]
        return [*foreign, *(await self._store.strangers(own) if own else ())]

    def _finding(self, stranger: Stranger) -> Finding:
        known = "its item was deleted" if stranger.is_deleted else "no item ever had its id"
        return Finding(
            Kind.VECTOR_ORPHANED, known, knowledge_id=stranger.knowledge_id,
            space=self._space.name, state="deleted" if stranger.is_deleted else "unknown",
        )  # fmt: skip


class DocumentSurvey:
    """From each document to its file, and to its pieces."""

    stage: Stage = "documents"

    def __init__(self, store: IntegrityStore, blobs: BlobStore, chosen: Chosen) -> None:
        self._store = store
        self._blobs = blobs
        self._chosen = chosen

    async def total(self) -> int:
        return 0 if self._chosen.namespaces else (await self._store.totals())[1]

    async def page(self, after: str | None) -> Page[DocumentLook]:
        shelves = self._chosen.namespaces
        limit = _SCANNED_PAGE if shelves else _DOCUMENTS_PAGE
        page = await self._store.documents(after=after, limit=limit, namespaces=shelves)
        files = await self._files(page.documents)
        odd = [one for one in page.documents if self._judge(one, files)]
        return Page(len(page.documents), odd, page.after)

    async def again(self, suspects: Sequence[DocumentLook]) -> list[Finding]:
        wrong = {document.document_id: document for document in suspects}
        before = await self._store.documents_again([*wrong])
        files = await self._files(before.values())
        after = await self._store.documents_again([*wrong])
        still = _unwritten(wrong, before, after)
        return [finding for document in still for finding in self._judge(document, files)]

    async def _files(self, documents: Iterable[DocumentLook]) -> dict[str, FileLook | None]:
        wanted = [document for document in documents if document.has_file]
        found: dict[str, FileLook | None] = {}
        for start in range(0, len(wanted), _FILES_AT_ONCE):
            some = wanted[start : start + _FILES_AT_ONCE]
            looks = await asyncio.gather(
                *(file_of(self._blobs, one, read=self._chosen.read_files) for one in some)
            )
            found.update(zip((one.document_id for one in some), looks, strict=True))
        return found

    def _judge(self, document: DocumentLook, files: Mapping[str, FileLook | None]) -> list[Finding]:
        file = files.get(document.document_id)
        return judge_document(document, file, self._chosen.grace_seconds)


class FileSurvey:
    """From each file to its document: the row is committed before the file is put."""

    stage: Stage = "files"

    def __init__(self, store: IntegrityStore, blobs: BlobStore, chosen: Chosen) -> None:
        self._store = store
        self._blobs = blobs
        self._grace_seconds = chosen.grace_seconds

    async def total(self) -> int:
        return (await self._store.totals())[1]

    async def page(self, after: str | None) -> Page[Blob]:
        page = await self._blobs.page(after=after, limit=_FILES_PAGE)
        return Page(len(page.blobs), await self._strange(page.blobs), page.after)

    async def again(self, suspects: Sequence[Blob]) -> list[Finding]:
        there = [await self._blobs.stat(blob.key) for blob in suspects]
        strange = await self._strange([blob for blob in there if blob is not None])
        return [
            Finding(
                Kind.FILE_ORPHANED, f"{blob.size:,} bytes since {blob.modified_at}, no document",
                blob_key=blob.key, size=blob.size, state=blob.modified_at,
            )
            for blob in strange
        ]  # fmt: skip

    async def _strange(self, blobs: Sequence[Blob]) -> list[Blob]:
        old = {blob.key: blob for blob in blobs if _age(blob) >= self._grace_seconds}
        return [old[key] for key in await self._store.strange_files([*old])] if old else []


def _unwritten(
    wrong: Mapping[str, Look], before: Mapping[str, Look], after: Mapping[str, Look]
) -> list[Look]:
    """Those that nobody has written since they looked wrong, as they look last."""
    return [
        after[identifier]
        for identifier, suspect in wrong.items()
        if all(
            identifier in looks and looks[identifier].generation == suspect.generation
            for looks in (before, after)
        )
    ]


async def vectors_of(
    index: VectorIndex, space: Space, items: Iterable[ItemLook]
) -> dict[str, Indexed]:
    """What a space holds of those of the items that are indexed."""
    wanted = [
        item.knowledge_id for item in items if item.state == "indexed" and not item.is_deleting
    ]
    return {one.knowledge_id: one for one in await _fetch(index, space, wanted)}


async def file_of(blobs: BlobStore, document: DocumentLook, *, read: bool) -> FileLook | None:
    """What there is of a document's file; one of another size need not be read."""
    blob = await blobs.stat(document.blob_key)
    if blob is None:
        return None
    if not read or blob.size != document.size:
        return FileLook(blob.size)
    digest, size = hashlib.sha256(), 0
    try:
        async for block in blobs.read(document.blob_key):
            digest.update(block)
            size += len(block)
    except BlobNotFound:
        return None
    return FileLook(size, digest.hexdigest())


async def _fetch(index: VectorIndex, space: Space, wanted: Sequence[str]) -> Sequence[Indexed]:
    try:
        return await index.fetch(space.name, wanted) if wanted else ()
    except Unavailable as error:
        raise VectorsUnavailable(error.message) from error


def _age(blob: Blob) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(blob.modified_at)).total_seconds()
