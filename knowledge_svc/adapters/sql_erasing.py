"""Erasure and export over the SQL functions of schema `knowledge`."""

from collections.abc import Mapping, Sequence

from knowledge_svc.domain.documents import Document
from knowledge_svc.domain.erasing import DoomedDocument, DoomedDocuments, DoomedItems
from knowledge_svc.domain.items import Item, Space
from knowledge_svc.domain.memories import Memory
from svckit.sql import SqlFunctions


class SqlErasureStore:
    """The ErasureStore over either transport."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def close(self, subject_ids: Sequence[str]) -> None:
        await self._functions.call("start_erasure", subject_ids=[*subject_ids])

    async def take_items(
        self, subject_ids: Sequence[str], *, owner: str, lease_seconds: float, most: int
    ) -> DoomedItems:
        taken = await self._functions.call(
            "erase_items", subject_ids=[*subject_ids], owner=owner,
            lease_ms=int(lease_seconds * 1000), most=most,
        )  # fmt: skip
        return DoomedItems(**taken)

    async def erase_memories(self, subject_ids: Sequence[str], *, most: int) -> bool:
        return bool(
            await self._functions.call("erase_memories", subject_ids=[*subject_ids], most=most)
        )

    async def hide_documents(self, subject_ids: Sequence[str], *, most: int) -> bool:
        return bool(
            await self._functions.call("hide_documents", subject_ids=[*subject_ids], most=most)
        )

    async def take_documents(
        self, subject_ids: Sequence[str], *, owner: str, lease_seconds: float, most: int
    ) -> DoomedDocuments:
        taken = await self._functions.call(
            "erase_documents", subject_ids=[*subject_ids], owner=owner,
            lease_ms=int(lease_seconds * 1000), most=most,
        )  # fmt: skip
        documents = [DoomedDocument(**document) for document in taken["documents"]]
        return DoomedDocuments(documents, taken["held"])

    async def forget_documents(self, ids: Sequence[str], *, owner: str) -> None:
        await self._functions.call("forget_documents", ids=[*ids], owner=owner)

    async def unname(self, subject_ids: Sequence[str], *, most: int) -> bool:
        return bool(
            await self._functions.call("unname_erased", subject_ids=[*subject_ids], most=most)
        )

    async def erased_in_all(self, subject_ids: Sequence[str]) -> Mapping[str, int]:
        return dict(await self._functions.call("erased_in_all", subject_ids=[*subject_ids]))

    async def count(self, subject_ids: Sequence[str]) -> Mapping[str, int]:
        return dict(await self._functions.call("count_subjects", subject_ids=[*subject_ids]))

    async def spaces(self) -> list[Space]:
        return [Space(**row) for row in await self._functions.call("list_spaces")]


class SqlExportStore:
    """The ExportStore over either transport."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def items(
        self, subject_ids: Sequence[str], *, after: Item | None, limit: int
    ) -> list[Item]:
        rows = await self._functions.call(
            "export_items", subject_ids=[*subject_ids], most=limit,
            after_time=after.occurred_at if after else None,
            after_id=after.knowledge_id if after else None,
        )  # fmt: skip
        return [Item(**row) for row in rows]

    async def memories(
        self, subject_ids: Sequence[str], *, after: Memory | None, limit: int
    ) -> list[Memory]:
        rows = await self._functions.call(
            "export_memories", subject_ids=[*subject_ids], most=limit,
            after_memory=after.memory_id if after else None,
            after_version=after.version if after else 0,
        )  # fmt: skip
        return [Memory(**row) for row in rows]

    async def documents(
        self, subject_ids: Sequence[str], *, after: Document | None, limit: int
    ) -> list[Document]:
        rows = await self._functions.call(
            "export_documents", subject_ids=[*subject_ids], most=limit,
            after_id=after.document_id if after else None,
        )  # fmt: skip
        return [Document(**row) for row in rows]
