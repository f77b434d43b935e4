"""What a search has ranked may be gone when it is read: it looks once more then."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from kith.knowledge.v1 import document_service_pb2 as documents_pb
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc import nearness
from knowledge_svc.adapters.sql_searching import SqlSearchStore
from tests.support.cluster import Database
from tests.support.documents import DocumentClient, document_service
from tests.support.knowledge import as_administrator, eventually

Meanwhile = Callable[[Callable[[], Awaitable[Any]]], list[int]]


@pytest.fixture
async def service(database: Database) -> AsyncIterator[DocumentClient]:
    async with document_service(database) as running:
        yield running


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Has something happen between ranking and reading, the first time; notes the readings.

    The index is one that does not stand beside the items: else both are one call.
    """
    monkeypatch.setattr(nearness, "ItemIndex", type(None))

    def between(happening: Callable[[], Awaitable[Any]]) -> list[int]:
        read, readings = SqlSearchStore.read, list[int]()

        async def read_late(self: SqlSearchStore, ids: Any, chosen: Any) -> Any:
            readings.append(len(ids))
            if len(readings) == 1:
                await happening()
            return await read(self, ids, chosen)

        monkeypatch.setattr(SqlSearchStore, "read", read_late)
        return readings

    return between


async def indexed(database: Database) -> None:
    """Return when nothing waits for its vector."""

    async def is_done() -> bool:
        async with as_administrator(database) as admin:
            return not await admin.fetchval(
                "SELECT count(*) FROM knowledge.index_states WHERE state = 'pending'"
            )

    await eventually(is_done)


async def searched(service: DocumentClient, mode: int) -> list[str]:
    request = pb.SearchKnowledgeRequest(query="green tea", mode=mode)  # type: ignore[arg-type]
    return [hit.item.content for hit in (await service.knowledge.SearchKnowledge(request)).hits]


MODES = pytest.mark.parametrize(
    "mode", [pb.SEARCH_MODE_KEYWORD, pb.SEARCH_MODE_SEMANTIC, pb.SEARCH_MODE_HYBRID]
)


@MODES
async def test_a_document_that_is_read_anew_in_between_is_found(
    service: DocumentClient, database: Database, meanwhile: Meanwhile, mode: int
):
    document = await service.read("The tea is green.")
    await indexed(database)

    async def cut_over() -> None:
        request = documents_pb.ExtractDocumentRequest(document_id=document.document_id)
        await service.documents.ExtractDocument(request)
        await service.settled(document.document_id)
        await indexed(database)

    readings = meanwhile(cut_over)

    assert await searched(service, mode) == ["The tea is green."]
    assert len(readings) == 2


@MODES
async def test_the_next_version_that_comes_in_between_is_found(
    service: DocumentClient, database: Database, meanwhile: Meanwhile, mode: int
):
    await service.read("The tea is green.", key="plan")
    await indexed(database)

    async def cut_over() -> None:
        await service.read("The tea is greener.", key="plan")
        await indexed(database)

    meanwhile(cut_over)

    assert await searched(service, mode) == ["The tea is greener."]


@MODES
async def test_what_is_there_is_read_once(
    service: DocumentClient, database: Database, meanwhile: Meanwhile, mode: int
):
    await service.read("The tea is green.")
    await indexed(database)

    async def nothing() -> None:
        """Goes on."""

    readings = meanwhile(nothing)

    assert await searched(service, mode) == ["The tea is green."]
    assert readings == [1]


async def test_where_vectors_stand_beside_the_items_there_is_nothing_in_between(
    service: DocumentClient, database: Database, monkeypatch: pytest.MonkeyPatch
):
    await service.read("The tea is green.")
    await indexed(database)
    monkeypatch.delattr(SqlSearchStore, "read")

    assert await searched(service, pb.SEARCH_MODE_SEMANTIC) == ["The tea is green."]


async def test_what_went_for_good_is_looked_for_once_more_and_no_longer(
    service: DocumentClient, meanwhile: Meanwhile
):
    document = await service.read("The tea is green.")
    readings = meanwhile(partial(service.delete, document.document_id))

    assert await searched(service, pb.SEARCH_MODE_KEYWORD) == []
    assert len(readings) <= 2
