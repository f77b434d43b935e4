"""What a census reads and a repair mends, over the SQL functions of schema `knowledge`."""

from collections.abc import Sequence
from typing import Any

from knowledge_svc.domain.blobs import Blob
from knowledge_svc.domain.documents import Document
from knowledge_svc.domain.integrity import (
    DocumentLook,
    DocumentPage,
    Finding,
    ItemLook,
    ItemPage,
    Rows,
    Stranger,
)
from knowledge_svc.domain.items import Item, Space, Write
from svckit import ids as identifiers
from svckit.sql import SqlFunctions


class SqlIntegrityStore:
    """The rows in Postgres; both of the ports of integrity."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def items(
        self, *, after: str | None, limit: int, namespaces: Sequence[str] | None
    ) -> ItemPage:
        page = await self._functions.call(
            "census_items", after=after, most=limit, namespaces=_list_of(namespaces)
        )
        return ItemPage([ItemLook(**row) for row in page["items"]], page["after"])

    async def items_again(self, ids: Sequence[str]) -> dict[str, ItemLook]:
        rows = await self._functions.call("census_items_again", ids=[*ids])
        return {row["knowledge_id"]: ItemLook(**row) for row in rows}

    async def strangers(self, ids: Sequence[str]) -> list[Stranger]:
        rows = await self._functions.call("census_strangers", ids=[*ids])
        return [Stranger(**row) for row in rows]

    async def documents(
        self, *, after: str | None, limit: int, namespaces: Sequence[str] | None
    ) -> DocumentPage:
        page = await self._functions.call(
            "census_documents", after=after, most=limit, namespaces=_list_of(namespaces)
        )
        return DocumentPage([DocumentLook(**row) for row in page["documents"]], page["after"])

    async def documents_again(self, ids: Sequence[str]) -> dict[str, DocumentLook]:
        rows = await self._functions.call("census_documents_again", ids=[*ids])
        return {row["document_id"]: DocumentLook(**row) for row in rows}

    async def strange_files(self, keys: Sequence[str]) -> list[str]:
        strange: list[str] = await self._functions.call("census_strange_files", keys=[*keys])
        return strange

    async def totals(self) -> tuple[int, int]:
        totals = await self._functions.call("census_totals")
        return totals["knowledge_items"], totals["documents"]

    async def rows(self, identifier: str) -> Rows:
        found = await self._functions.call("ground_truth", id=identifier)
        spaces = [(space.pop("is_serving"), Space(**space)) for space in found.pop("spaces")]
        document = found["document"]
        return Rows(
            item=found["item"] and _item(found["item"]),
            look=found["look"] and ItemLook(**found["look"]),
            queue=found["queue"],
            deleted_at=found["deleted_at"],
            document=document and Document(**document),
            document_look=found["document_look"] and DocumentLook(**found["document_look"]),
            spaces=[(space, is_serving) for is_serving, space in spaces],
        )

    async def pieces(self, document_id: str, *, after: str | None, limit: int) -> list[str]:
        found: list[str] = await self._functions.call(
            "piece_ids", document_id=document_id, after=after, most=limit
        )
        return found

    async def requeue(self, writes: Sequence[Write]) -> list[bool]:
        return await self._are("queued", "repair_items", writes=[vars(one) for one in writes])

    async def resume_deletions(self, ids: Sequence[str]) -> list[bool]:
        return await self._are("queued", "repair_deletions", ids=[*ids])

    async def requeue_documents(self, findings: Sequence[Finding]) -> list[bool]:
        writes = [{**_document_write(found), "state": found.state} for found in findings]
        return await self._are("queued", "repair_documents", writes=writes)

    async def mark_lost(self, findings: Sequence[Finding]) -> list[bool]:
        writes = [{**_document_write(found), "detail": found.detail} for found in findings]
        return await self._are("lost", "repair_lost", writes=writes)

    async def note_suspects(self, space: str, ids: Sequence[str]) -> dict[str, float]:
        return _seconds(await self._functions.call("note_suspects", space=space, ids=[*ids]))

    async def known_suspects(self, space: str, ids: Sequence[str]) -> dict[str, float]:
        return _seconds(await self._functions.call("known_suspects", space=space, ids=[*ids]))

    async def condemn(self, space: str, ids: Sequence[str], *, grace_seconds: int) -> list[str]:
        condemned: list[str] = await self._functions.call(
            "condemn_suspects", space=space, ids=[*ids], grace_seconds=grace_seconds
        )
        return condemned

    async def settle(self, space: str, ids: Sequence[str] | None) -> int:
        renewed: int = await self._functions.call("settle_suspects", space=space, ids=_list_of(ids))
        return renewed

    async def forget_suspects(self, space: str, *, unseen_seconds: int) -> None:
        await self._functions.call("forget_suspects", space=space, unseen_seconds=unseen_seconds)

    async def adopt_files(
        self, files: Sequence[Blob], *, owner: str, lease_seconds: float
    ) -> list[str]:
        keys: list[str] = await self._functions.call(
            "adopt_files",
            files=[
                {"key": file.key, "size": file.size, "document_id": _document_of(file.key)}
                for file in files
            ],
            owner=owner,
            lease_ms=int(lease_seconds * 1000),
        )
        return keys

    async def forget_files(self, keys: Sequence[str], *, owner: str) -> None:
        await self._functions.call("forget_files", keys=[*keys], owner=owner)

    async def _are(self, word: str, function: str, **arguments: Any) -> list[bool]:
        answers = await self._functions.call(function, **arguments)
        return [answer == word for answer in answers]


def _item(row: dict[str, Any]) -> Item:
    state = row["index_state"] if row["index_state"] in ("indexed", "failed") else "pending"
    return Item(**{**row, "index_state": state})


def _seconds(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {row["knowledge_id"]: row["seconds"] for row in rows}


def _list_of(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else [*values]


def _document_write(finding: Finding) -> dict[str, Any]:
    return {"document_id": finding.document_id, "revision": finding.revision}


def _document_of(key: str) -> str | None:
    """The document that a file was put for, which is the third part of its key."""
    parts = key.split("/")
    return parts[2] if len(parts) > 2 and identifiers.is_uuid(parts[2]) else None
