"""What each store holds of one item or document, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from knowledge_svc.domain.integrity import (
    FileLook,
    Finding,
    Kind,
    Rows,
    VectorsUnavailable,
)
from knowledge_svc.domain.items import Indexed, KnowledgeNotFound, Space
from knowledge_svc.domain.judging import judge_document, judge_item
from knowledge_svc.ports.blobs import BlobStore
from knowledge_svc.ports.integrity import IntegrityStore
from knowledge_svc.ports.items import VectorIndex
from knowledge_svc.surveys import file_of
from svckit.errors import Unavailable

_PIECES_PAGE = 500


@dataclass(frozen=True)
class Held:
    """What a space holds of an item; None where it has no vector of it."""

    space: str
    is_serving: bool
    vector: Indexed | None


@dataclass(frozen=True)
class Truth:
    """The rows, the vectors, the file, and what does not fit.

    `file` is None where there is none; `pieces` and `piece_vectors` are a document's.
    """

    rows: Rows
    vectors: Sequence[Held]
    file: FileLook | None
    pieces: int
    piece_vectors: int
    findings: Sequence[Finding]


class GroundTruth:
    """Looks once, and at once: a write in flight may look as if something did not fit."""

    def __init__(
        self, store: IntegrityStore, index: VectorIndex, blobs: BlobStore, space: Space
    ) -> None:
        self._store = store
        self._index = index
        self._blobs = blobs
        self._space = space

    async def of(self, identifier: str, grace_seconds: int) -> Truth:
        """What there is of an id; raises KnowledgeNotFound where there is nothing.

        Raises VectorsUnavailable or BlobsUnavailable where that cannot be told.
        """
        rows = await self._store.rows(identifier)
        is_document = rows.document is not None and rows.document.document_id == identifier
        vectors = [] if is_document else await self._vectors(identifier, rows)
        if not (rows.item or rows.document or rows.deleted_at or any(h.vector for h in vectors)):
            raise KnowledgeNotFound(identifier)
        look, file = rows.document_look, None
        if look is not None:
            file = await file_of(self._blobs, look, read=True)
        pieces, piece_vectors = await self._pieces(identifier) if is_document else (0, 0)
        findings: list[Finding] = []
        if not is_document:
            findings += self._judge_item(rows, vectors, identifier, grace_seconds)
        if look is not None:
            findings += judge_document(look, file, grace_seconds)
        return Truth(rows, vectors, file, pieces, piece_vectors, findings)

    def _judge_item(
        self, rows: Rows, vectors: Sequence[Held], identifier: str, grace_seconds: int
    ) -> list[Finding]:
        serving = next((held.vector for held in vectors if held.is_serving), None)
        if rows.look is not None:
            return judge_item(rows.look, serving, self._space, grace_seconds)
        detail = "its item was deleted" if rows.deleted_at else "no item ever had its id"
        return [
            Finding(Kind.VECTOR_ORPHANED, detail, knowledge_id=identifier, space=held.space)
            for held in vectors
            if held.vector is not None and held.is_serving
        ]

    async def _vectors(self, identifier: str, rows: Rows) -> list[Held]:
        held = []
        for space, _ in rows.spaces:
            is_serving = space.name == self._space.name
            try:
                found = await self._index.fetch(space.name, [identifier])
            except Unavailable as error:
                # Of the others there may be no more than the name.
                if is_serving:
                    raise VectorsUnavailable(error.message) from error
                continue
            held.append(Held(space.name, is_serving, found[0] if found else None))
        return held

    async def _pieces(self, document_id: str) -> tuple[int, int]:
        pieces, vectors, after = 0, 0, None
        while True:
            page = await self._store.pieces(document_id, after=after, limit=_PIECES_PAGE)
            if page:
                try:
                    vectors += len(await self._index.fetch(self._space.name, page))
                except Unavailable as error:
                    raise VectorsUnavailable(error.message) from error
            pieces += len(page)
            if len(page) < _PIECES_PAGE:
                return pieces, vectors
            after = page[-1]
