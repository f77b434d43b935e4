"""Documents of somebody who is erased: whatever is being done with them, nothing is left."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.adapters.local_blobs import LocalBlobs
from svckit import ids
from tests.support.blobs import folder_of
from tests.support.cluster import Database
from tests.support.documents import (
    RUNNING,
    TEXT,
    DocumentClient,
    document_service,
    files_of,
    nothing_is_left,
    rows_of,
)
from tests.support.dying import dying_service
from tests.support.extractor import SentenceExtractor
from tests.support.knowledge import Stub, as_administrator, eventually, refusal

ANN, BEN, GROUP = ids.named("ann"), ids.named("ben"), ids.named("group")
NOTHING = dict.fromkeys(
    ("items", "memories", "memory_versions", "documents", "files", "vectors"), 0
)


@pytest.fixture
async def service(database: Database) -> AsyncIterator[DocumentClient]:
    async with document_service(database) as running:
        yield running


async def erase(knowledge: Stub, **call: Any) -> dict[str, int]:
    request = pb.EraseSubjectsRequest(subject_ids=[ANN])
    return dict((await knowledge.EraseSubjects(request, **{"timeout": 20, **call})).erased_in_all)


async def count(knowledge: Stub) -> dict[str, int]:
    request = pb.CountSubjectsRequest(subject_ids=[ANN])
    return dict((await knowledge.CountSubjects(request)).remaining)


async def is_running(service: DocumentClient, document_id: str) -> bool:
    return bool((await service.get(document_id)).state == RUNNING)


async def has_pieces(database: Database, number: int) -> bool:
    counts = await rows_of(database)
    return (counts["knowledge_items"], counts["vectors"]) == (number, number)


async def test_versions_pieces_vectors_and_files_all_go(
    service: DocumentClient, database: Database
):
    await service.read("The tea is green.", key="plan", subject_id=ANN)
    await service.read("The coffee is black. Strong.", key="plan", subject_id=ANN)
    kept = await service.read("The cocoa is brown.", subject_id=BEN)
    await eventually(partial(has_pieces, database, 3))
    before = await count(service.knowledge)

    erased = await erase(service.knowledge)

    assert (before["documents"], before["files"], before["items"]) == (2, 2, 2)
    assert (erased["documents"], erased["files"]) == (2, 2)
    assert await count(service.knowledge) == NOTHING
    assert await service.found("tea coffee cocoa") == ["The cocoa is brown."]
    assert [key.split("/")[2] for key in await files_of(service.blobs)] == [kept.document_id]


async def test_files_of_groups_and_of_nobody_stay_whoever_is_erased(service: DocumentClient):
    kept = [
        (await service.upload(TEXT, **whose)).document.document_id
        for whose in ({"group_id": GROUP}, {"session_id": ANN}, {})
    ]

    for subject in (GROUP, ANN):
        await service.knowledge.EraseSubjects(pb.EraseSubjectsRequest(subject_ids=[subject]))

    for document_id in kept:
        assert await service.download(document_id) == TEXT.encode()


async def test_a_reading_that_is_under_way_stops_and_leaves_nothing(
    service: DocumentClient, database: Database
):
    service.extractor.gate = asyncio.Event()
    document = (await service.upload("One. Two. Three. Four. Five.", subject_id=ANN)).document
    await eventually(partial(is_running, service, document.document_id))
    # Three are laid aside, and nobody sees them; whoever counts does.
    await eventually(partial(has_pieces, database, 3))
    assert await service.found("Two") == []
    assert (await count(service.knowledge))["items"] == 3

    await erase(service.knowledge)
    left = await count(service.knowledge)
    service.extractor.gate.set()

    assert left == NOTHING
    await nothing_is_left(database, service.blobs)
    # Whoever read it reads others again, and none of it has come back.
    await service.read("A text about nobody.")
    assert await count(service.knowledge) == NOTHING
    assert (await rows_of(database))["documents"] == 1


async def test_an_upload_that_is_under_way_is_refused_and_waited_for(
    service: DocumentClient, database: Database, monkeypatch: pytest.MonkeyPatch
):
    may_put, is_putting, put = asyncio.Event(), asyncio.Event(), LocalBlobs.put

    async def slow_put(self: LocalBlobs, key: str, path: Path, *, media_type: str) -> None:
        is_putting.set()
        await may_put.wait()
        await put(self, key, path, media_type=media_type)

    monkeypatch.setattr(LocalBlobs, "put", slow_put)
    # Two of the same: the one that ends first must not have the other's file left behind.
    uploading = [asyncio.create_task(refusal(service.upload(subject_id=ANN))) for _ in range(2)]
    await is_putting.wait()
    erasing = asyncio.create_task(erase(service.knowledge))
    await eventually(partial(is_closed, database))
    code, reason, _ = await refusal(service.upload("Another.", subject_id=ANN))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SUBJECT_ERASED")
    assert not erasing.done()

    may_put.set()

    assert {(await one)[1] for one in uploading} == {"SUBJECT_ERASED"}
    assert (await erasing)["documents"] == 0  # nobody ever saw it
    assert await count(service.knowledge) == NOTHING
    await nothing_is_left(database, service.blobs)


async def is_closed(database: Database) -> bool:
    async with as_administrator(database) as admin:
        return bool(await admin.fetchval("SELECT count(*) FROM knowledge.erased_subjects"))


async def test_erasures_and_deletions_of_the_same_documents_end_together(database: Database):
    """On two replicas: both take up documents that are being deleted."""
    async with document_service(database) as one, document_service(database) as other:
        documents = [
            (await one.upload(f"Text {n}. More.", subject_id=ANN)).document for n in range(12)
        ]

        async def delete(n: int) -> None:
            await [one, other][n % 2].delete(documents[n].document_id)

        await asyncio.gather(
            *(delete(n) for n in range(6)), erase(one.knowledge), erase(other.knowledge)
        )

        assert await count(one.knowledge) == NOTHING
        await nothing_is_left(database, one.blobs)


async def test_of_a_groups_document_the_version_before_the_erased_ones_is_found_again(
    service: DocumentClient, database: Database
):
    """A person's word about a document of a group goes; the group's own stays."""
    first = await service.read("The tea is green.", key="plan", group_id=GROUP)
    await service.read("The coffee is black.", key="plan", group_id=GROUP, person_id=ANN)

    await erase(service.knowledge)

    await eventually(partial(service.found, "tea"))
    assert (await service.settled(first.document_id)).is_latest
    assert await service.found("tea coffee") == ["The tea is green."]
    # The same bytes of somebody else are a document like any other.
    again = await service.read("The coffee is black.", key="plan", group_id=GROUP)
    assert await service.download(again.document_id) == b"The coffee is black."


async def test_a_documents_file_is_in_the_export(service: DocumentClient):
    document = await service.read(TEXT, subject_id=ANN)
    request = pb.ExportSubjectsRequest(subject_ids=[ANN])

    parts = [part async for part in service.knowledge.ExportSubjects(request)]

    # Its pieces are in the file.
    assert [part.WhichOneof("part") for part in parts] == ["document", "file_data"]
    assert parts[0].document == document
    assert parts[1].file_data == TEXT.encode()


@pytest.mark.kills
@pytest.mark.parametrize(
    ("at", "when"),
    [
        ("sql.hide_documents", "after"),
        ("sql.erase_items", "after"),
        ("sql.erase_documents", "after"),
        ("blobs.delete", "after"),
    ],
)
async def test_killed_on_its_way_the_next_erasure_or_nobody_else_ends_it(
    database: Database, at: str, when: Any
):
    async with document_service(database, extractor=SentenceExtractor()) as service:
        await service.read(subject_id=ANN)
        await service.read("Read by half. One. Two. Three. Four.", subject_id=ANN)
        await eventually(partial(has_pieces, database, 8))
    async with dying_service(database, at=at, when=when) as mortal:
        with pytest.raises(grpc.aio.AioRpcError):
            await erase(Stub(mortal.channel), wait_for_ready=True)
        await mortal.gone()
    async with as_administrator(database) as admin:
        await admin.execute("UPDATE knowledge.documents SET next_attempt_at = now()")

    async with document_service(database) as service:
        # Whoever finishes deletions may be at it, too.
        assert (await erase(service.knowledge))["documents"] == 2
        assert await count(service.knowledge) == NOTHING
        await nothing_is_left(database, service.blobs)
        assert not [*(folder_of(database) / "blobs").rglob("notes.txt")]


async def test_an_original_that_comes_back_during_the_erasure_does_not_stay(
    service: DocumentClient, monkeypatch: pytest.MonkeyPatch
):
    document = await service.read(subject_id=ANN)
    await service.blobs.delete(await files_of(service.blobs))
    is_erased, is_begun = asyncio.Event(), asyncio.Event()
    put = LocalBlobs.put

    async def put_late(*arguments: Any, **named: Any) -> None:
        is_begun.set()
        await is_erased.wait()
        await put(*arguments, **named)

    monkeypatch.setattr(LocalBlobs, "put", put_late)
    upload = asyncio.create_task(service.upload(subject_id=ANN))
    await is_begun.wait()
    await erase(service.knowledge)
    is_erased.set()

    _, reason, _ = await refusal(upload)
    assert reason == "SUBJECT_ERASED"
    assert not await files_of(service.blobs)
    with pytest.raises(grpc.aio.AioRpcError):
        await service.get(document.document_id)
