"""Many uploads, deletions and readings at once, on several replicas."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import grpc
import pytest

from kith.knowledge.v1 import document_service_pb2 as pb
from tests.support.cluster import Database
from tests.support.documents import (
    TEXT,
    DocumentClient,
    document_service,
    files_of,
    nothing_is_left,
    rows_of,
)
from tests.support.knowledge import eventually


@pytest.fixture
async def replicas(database: Database) -> AsyncIterator[list[DocumentClient]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(document_service(database)) for _ in range(2)]


async def test_twenty_equal_uploads_are_one_document(
    replicas: list[DocumentClient], database: Database
):
    answers = await asyncio.gather(
        *(replicas[n % 2].upload(TEXT, key="same", metadata={"n": n}) for n in range(20))
    )

    assert len({answer.document.document_id for answer in answers}) == 1
    assert [answer.created for answer in answers].count(True) == 1
    await replicas[0].settled(answers[0].document.document_id)
    assert len(await files_of(replicas[0].blobs)) == 1
    counts = await rows_of(database)
    assert (counts["documents"], counts["knowledge_items"]) == (1, 3)


async def test_different_uploads_under_one_key_are_versions_and_one_is_the_latest(
    replicas: list[DocumentClient],
):
    answers = await asyncio.gather(
        *(replicas[n % 2].upload(f"Version {n}.", key="same") for n in range(20))
    )

    listed = await replicas[0].list(key="same", include_earlier_versions=True)
    assert len(listed) == 20
    assert len({document.version for document in listed}) == 20
    [latest] = [document for document in listed if document.is_latest]
    assert latest.version == max(document.version for document in listed)
    assert all(answer.created for answer in answers)

    async def only_the_latest_is_found() -> bool:
        return len(await replicas[0].found("version")) == 1

    await replicas[0].settled(latest.document_id)
    await eventually(only_the_latest_is_found)
    [found] = (await replicas[0].search("version")).hits
    assert found.item.document_id == latest.document_id


async def test_uploads_and_deletions_of_the_same_end_whole_or_not_at_all(
    replicas: list[DocumentClient], database: Database
):
    document_id = (await replicas[0].upload()).document.document_id

    async def delete(n: int) -> None:
        await replicas[n % 2].delete(document_id)

    async def upload(n: int) -> None:
        try:
            await replicas[n % 2].upload()
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE

    for _ in range(3):
        await asyncio.gather(*(step(n) for n in range(4) for step in (delete, upload)))

    listed = await replicas[0].list()
    if listed:
        assert await replicas[1].download(document_id) == TEXT.encode()
        await replicas[0].settled(document_id)
        await replicas[0].delete(document_id)
    await nothing_is_left(database, replicas[0].blobs)


async def test_versions_that_come_while_others_go_leave_one_latest(
    replicas: list[DocumentClient],
):
    async def come_and_go(n: int) -> None:
        document = (await replicas[n % 2].upload(f"Version {n}.", key="same")).document
        if n % 3:
            await replicas[(n + 1) % 2].delete(document.document_id)

    await asyncio.gather(*(come_and_go(n) for n in range(18)))

    listed = await replicas[0].list(key="same", include_earlier_versions=True)
    assert len(listed) == 6
    assert [d.is_latest for d in listed].count(True) == 1
    latest = max(listed, key=lambda document: document.version)
    assert latest.is_latest

    async def is_alone() -> bool:
        hits = (await replicas[0].search("version")).hits
        return [hit.item.document_id for hit in hits] == [latest.document_id]

    await eventually(is_alone)


async def test_a_document_that_is_read_anew_again_and_again_is_shown_once(
    replicas: list[DocumentClient], database: Database
):
    document = await replicas[0].read()
    request = pb.ExtractDocumentRequest(document_id=document.document_id)
    seen = set()

    async def search() -> None:
        for _ in range(40):
            seen.add(len(await replicas[1].found("gulls nets Sundays")))

    async def read_anew() -> None:
        for n in range(10):
            await replicas[n % 2].documents.ExtractDocument(request)
            await replicas[n % 2].settled(document.document_id)

    await asyncio.gather(search(), read_anew())

    # A search that was on its way at that moment may have found neither, and never a part of each.
    assert seen <= {0, 3}

    async def is_clean() -> bool:
        counts = await rows_of(database)
        return (counts["knowledge_items"], counts["vectors"], counts["hidden_readings"]) == (
            3,
            3,
            0,
        )

    await eventually(is_clean)
