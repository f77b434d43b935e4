"""Killed at any step of an upload, a reading or a deletion, the service finishes or clears it."""

from functools import partial

import grpc
import pytest

from tests.support.blobs import blobs_of
from tests.support.cluster import Database
from tests.support.documents import (
    TEXT,
    DocumentClient,
    DocumentStub,
    files_of,
    nothing_is_left,
    rows_of,
)
from tests.support.dying import Process, dying_service
from tests.support.extractor import SentenceExtractor
from tests.support.knowledge import Stub, as_administrator, eventually

pytestmark = pytest.mark.kills


def client_of(process: Process, database: Database) -> DocumentClient:
    return DocumentClient(
        DocumentStub(process.channel),
        Stub(process.channel),
        SentenceExtractor(),
        blobs_of(database),
    )


async def is_whole(database: Database) -> bool:
    counts = await rows_of(database)
    return counts == {
        "documents": 1, "knowledge_items": 3, "index_states": 3, "hidden_readings": 0, "vectors": 3,
    }  # fmt: skip


async def upload_until_it_is_there(client: DocumentClient) -> str:
    """As a caller does whose first try was lost."""

    async def is_up() -> str:
        try:
            return (await client.upload()).document.document_id
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            return ""

    return str(await eventually(is_up, seconds=20))


async def fails(call: object) -> None:
    try:
        await call  # type: ignore[misc]
    except grpc.aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("at", "when"),
    [
        ("sql.begin_document", "after"),
        ("blobs.put", "after"),
        ("sql.commit_document", "after"),
        ("sql.claim_readings", "after"),
        ("extractor.open", "before"),
        ("sql.stage_pieces", "after"),
        ("sql.finish_reading", "before"),
        ("sql.finish_reading", "after"),
        ("sql.drop_pieces", "before"),
    ],
)
async def test_an_upload_is_stored_and_read_wherever_the_service_dies(
    database: Database, at: str, when: str
) -> None:
    async with dying_service(database, at=at, when=when) as mortal:  # type: ignore[arg-type]
        client = client_of(mortal, database)
        await mortal.channel.channel_ready()
        await fails(client.upload())
        await mortal.gone()

    async with dying_service(database) as reborn:
        client = client_of(reborn, database)
        await reborn.channel.channel_ready()
        document_id = await upload_until_it_is_there(client)
        document = await client.settled(document_id)
        await eventually(partial(is_whole, database))
        assert document.indexed
        assert await client.download(document_id) == TEXT.encode()
        assert len(await files_of(client.blobs)) == 1


@pytest.mark.parametrize("at", ["blobs.put", "sql.commit_document"])
async def test_an_upload_that_nobody_repeats_leaves_nothing(database: Database, at: str) -> None:
    async with dying_service(database, at=at) as mortal:
        await mortal.channel.channel_ready()
        await fails(client_of(mortal, database).upload())
        await mortal.gone()
    async with as_administrator(database) as connection:
        await connection.execute("UPDATE knowledge.documents SET next_attempt_at = now()")

    async with dying_service(database):
        await nothing_is_left(database, blobs_of(database))


@pytest.mark.parametrize(
    ("at", "when"),
    [
        ("sql.start_document_deletion", "after"),
        ("sql.drop_pieces", "after"),
        ("index.delete", "after"),
        ("blobs.delete", "before"),
        ("blobs.delete", "after"),
        ("sql.forget_document", "after"),
    ],
)
async def test_a_deletion_is_finished_wherever_the_service_dies(
    database: Database, at: str, when: str
) -> None:
    async with dying_service(database) as first:
        client = client_of(first, database)
        await first.channel.channel_ready()
        document_id = await upload_until_it_is_there(client)
        await client.settled(document_id)
        await eventually(partial(is_whole, database))
    async with dying_service(database, at=at, when=when) as mortal:  # type: ignore[arg-type]
        await mortal.channel.channel_ready()
        await fails(client_of(mortal, database).delete(document_id))
        await mortal.gone()
    async with as_administrator(database) as connection:
        await connection.execute("UPDATE knowledge.documents SET next_attempt_at = now()")

    async with dying_service(database) as reborn:
        client = client_of(reborn, database)
        await reborn.channel.channel_ready()
        assert await client.found("gulls") == []
        await nothing_is_left(database, client.blobs)
