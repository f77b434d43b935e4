"""Documents over the SQL functions of schema `knowledge`."""

import hashlib
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from knowledge_svc.domain.documents import (
    VISIBLE,
    Document,
    DocumentBacklog,
    DocumentNotFound,
    DocumentPlace,
    Kept,
    NewDocument,
    Piece,
    Reading,
    Selection,
)
from knowledge_svc.domain.extraction import Outline
from knowledge_svc.domain.items import Filter, SubjectErased
from svckit.errors import SqlError
from svckit.sql import SqlFunctions

T = TypeVar("T")

_MOST_DETAIL = 500  # characters
_LINKS = "links"


class SqlDocumentStore:
    """The records in Postgres."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def begin(
        self, new: NewDocument, *, sha256: str, size: int, media_type: str, blob_key: str,
        request_id: str, grace_seconds: float,
    ) -> Document:  # fmt: skip
        document = {
            "document_id": new.document_id(sha256),
            "owner": new.owner,
            "namespace": new.namespace,
            "document_key": new.key,
            "filename": new.filename,
            "media_type": media_type,
            "blob_key": blob_key,
            "size": size,
            "sha256": rf"\x{sha256}",
            "metadata": new.metadata,
            "subject_id": new.subject_id,
            "person_id": new.person_id,
            "group_id": new.group_id,
            "session_id": new.session_id,
            "platform": new.platform,
            "occurred_at": new.occurred_at,
        }
        call = self._functions.call(
            "begin_document",
            document=document,
            request_id=request_id,
            grace_ms=_milliseconds(grace_seconds),
        )
        return Document(**await _unless_erased(call))

    async def commit(self, document_id: str, *, request_id: str) -> Kept | None:
        call = self._functions.call(
            "commit_document", document_id=document_id, request_id=request_id
        )
        row = await _unless_erased(call)
        return Kept(Document(**row["document"]), row["created"]) if row else None

    async def restore(self, document: Document) -> Document | None:
        call = self._functions.call(
            "restore_document",
            document_id=document.document_id,
            subject_id=document.subject_id,
            person_id=document.person_id,
        )
        row = await _unless_erased(call)
        return Document(**row) if row else None

    async def give_up(self, document_id: str, *, request_id: str) -> None:
        await self._functions.call(
            "give_up_document", document_id=document_id, request_id=request_id
        )

    async def get(self, document_id: str) -> Document:
        return _found(
            await self._functions.call("get_document", document_id=document_id), document_id
        )

    async def page(
        self, chosen: Filter, selection: Selection, *, before: DocumentPlace | None, limit: int
    ) -> list[Document]:
        rows = await self._functions.call(
            "list_documents",
            filter=chosen.as_json(),
            document_key=selection.key,
            with_earlier=selection.with_earlier,
            states=[selection.state] if selection.state else [*VISIBLE],
            most=limit,
            before_time=before.created_at if before else None,
            before_id=before.document_id if before else None,
        )
        return [Document(**row) for row in rows]

    async def start_deletion(
        self, document_id: str, *, request_id: str, owner: str, lease_seconds: float
    ) -> Document | None:
        row = await self._functions.call(
            "start_document_deletion",
            document_id=document_id,
            request_id=request_id,
            lease_owner=owner,
            lease_ms=_milliseconds(lease_seconds),
        )
        return Document(**row["document"]) if row["deleted"] else None

    async def claim_deletions(
        self, owner: str, *, most: int, lease_seconds: float
    ) -> list[Document]:
        rows = await self._functions.call(
            "claim_deletions", lease_owner=owner, most=most, lease_ms=_milliseconds(lease_seconds)
        )
        return [Document(**row) for row in rows]

    async def count_pieces(self, document_id: str) -> int:
        return int(await self._functions.call("count_pieces", document_id=document_id))

    async def drop_pieces(self, most: int) -> int | None:
        dropped = await self._functions.call("drop_pieces", most=most)
        return None if dropped is None else int(dropped)

    async def put_off_deletion(self, document: Document, *, seconds: float) -> None:
        await self._functions.call(
            "put_off_deletion",
            document_id=document.document_id,
            revision=document.revision,
            delay_ms=_milliseconds(seconds),
        )

    async def forget(self, document: Document) -> None:
        await self._functions.call(
            "forget_document", document_id=document.document_id, revision=document.revision
        )

    async def request_reading(self, document_id: str) -> Document:
        call = self._functions.call("request_reading", document_id=document_id)
        return _found(await _unless_erased(call), document_id)

    async def signing_key(self, proposed: str) -> str:
        key: str = await self._functions.call("signing_key", name=_LINKS, proposed=proposed)
        return key


class SqlReadingQueue:
    """The queue in Postgres, which is in the records."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def claim(self, owner: str, *, most: int, lease_seconds: float) -> list[Reading]:
        rows = await self._functions.call(
            "claim_readings", lease_owner=owner, most=most, lease_ms=_milliseconds(lease_seconds)
        )
        return [Reading(Document(**row["document"]), row["attempts"]) for row in rows]

    async def renew(self, reading: Reading, *, lease_seconds: float) -> bool:
        return await self._told("renew_reading", reading, lease_ms=_milliseconds(lease_seconds))

    async def stage(self, reading: Reading, pieces: Sequence[Piece]) -> bool:
        return await self._told("stage_pieces", reading, pieces=[_row(piece) for piece in pieces])

    async def finish(
        self, reading: Reading, outline: Outline, *, chunker: str | None, is_indexed: bool
    ) -> bool:
        told = {**vars(outline), "chunker": chunker, "is_indexed": is_indexed}
        return await self._told("finish_reading", reading, outline=told)

    async def fail(self, reading: Reading, reason: str, detail: str) -> bool:
        return await self._told(
            "fail_reading", reading, reason=reason, detail=detail[:_MOST_DETAIL]
        )

    async def put_off(self, reading: Reading, *, seconds: float, blameless: bool) -> None:
        await self._told(
            "put_off_reading", reading, delay_ms=_milliseconds(seconds), blameless=blameless
        )

    async def backlog(self) -> DocumentBacklog:
        return DocumentBacklog(**await self._functions.call("document_backlog"))

    async def _told(self, function: str, reading: Reading, **arguments: Any) -> bool:
        answer = await self._functions.call(
            function, document_id=reading.document_id, revision=reading.revision, **arguments
        )
        return bool(answer)


async def _unless_erased(call: Awaitable[T]) -> T:
    try:
        return await call
    except SqlError as error:
        if error.code == "ZK002":
            raise SubjectErased(error.detail["subject_id"]) from error
        raise


def _found(row: Any, document_id: str) -> Document:
    if row is None:
        raise DocumentNotFound(document_id)
    return Document(**row)


def _row(piece: Piece) -> dict[str, Any]:
    content_hash = hashlib.sha256(piece.content.encode()).hexdigest()
    return {
        "chunk_number": piece.chunk_number,
        "knowledge_id": piece.knowledge_id,
        "occurred_at": piece.occurred_at,
        "content": piece.content,
        "content_hash": rf"\x{content_hash}",
        "terms": piece.terms.names,
        "term_counts": piece.terms.counts,
        "term_total": piece.terms.total,
        "place": piece.place,
    }


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
