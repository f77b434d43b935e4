"""DocumentService: files in and out, their records, and their end."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import document_service_pb2 as pb
from kith.knowledge.v1 import knowledge_pb2
from knowledge_svc.adapters.local_blobs import LocalBlobs
from knowledge_svc.domain.blobs import BlobsUnavailable
from knowledge_svc.ports.items import VectorIndex
from svckit import ids, structs
from svckit.errors import Unavailable
from tests.support.blobs import folder_of
from tests.support.cluster import Database
from tests.support.documents import (
    ANN,
    FAILED,
    GROUP,
    PENDING,
    SESSION,
    SUCCEEDED,
    TEXT,
    DocumentClient,
    a_document,
    document_service,
    files_of,
    messages,
    nothing_is_left,
)
from tests.support.files import a_png
from tests.support.knowledge import GatedIndex, as_administrator, refusal


@pytest.fixture
async def service(database: Database) -> AsyncIterator[DocumentClient]:
    async with document_service(database) as running:
        yield running


async def test_a_document_is_what_its_caller_said_of_it(service: DocumentClient):
    document = await service.read(
        key="diary", namespace="notes", metadata={"year": 1896}, subject_id=ANN, group_id=GROUP,
        session_id=SESSION, platform="web", media_type="text/plain",
    )  # fmt: skip

    assert document == await service.get(document.document_id)
    assert (document.key, document.version, document.is_latest) == ("diary", 1, True)
    assert (document.filename, document.media_type) == ("notes.txt", "text/plain")
    assert document.size == len(TEXT)
    assert document.sha256 == hashlib.sha256(TEXT.encode()).digest()
    assert (document.namespace, structs.to_dict(document.metadata)) == ("notes", {"year": 1896})
    assert (document.subject_id, document.group_id) == (ANN, GROUP)
    assert (document.session_id, document.platform) == (SESSION, "web")
    assert document.HasField("created_at") and document.HasField("occurred_at")
    assert (document.state, document.indexed, document.chunks) == (SUCCEEDED, True, 3)
    assert (document.title, document.chunker) == ("A title", "sentences-test-1")


async def test_a_file_without_text_is_kept_and_served(service: DocumentClient):
    document = await service.read(a_png(), filename="chart.png")

    assert (document.state, document.indexed, document.chunks) == (SUCCEEDED, False, 0)
    assert document.media_type == "image/png"
    assert await service.download(document.document_id) == a_png()


async def test_an_empty_file_is_a_document(service: DocumentClient):
    document = await service.read(b"")

    assert (document.size, document.failure_reason) == (0, "NO_TEXT")
    assert await service.download(document.document_id) == b""


async def test_the_same_bytes_are_the_same_document_and_the_first_word_stands(
    service: DocumentClient,
):
    first = await service.upload(key="diary", metadata={"n": 1})
    again = await service.upload(key="diary", metadata={"n": 2}, filename="other.txt")

    assert (first.created, again.created) == (True, False)
    assert again.document.document_id == first.document.document_id
    assert structs.to_dict(again.document.metadata) == {"n": 1}
    assert again.document.filename == "notes.txt"


async def test_another_owner_namespace_or_key_is_another_document(service: DocumentClient):
    ids_ = {(await service.upload()).document.document_id}
    for changes in ({"key": "k"}, {"namespace": "n"}, {"subject_id": ANN}, {"group_id": GROUP}):
        other = await service.upload(**changes)
        assert other.created
        ids_.add(other.document.document_id)

    assert len(ids_) == 5


async def test_a_deleted_document_leaves_nothing(service: DocumentClient, database: Database):
    document = await service.read(key="diary")
    assert await files_of(service.blobs) == [
        f"default/{ids.UUID(int=0)}/{document.document_id}/notes.txt"
    ]

    assert await service.delete(document.document_id)

    assert await service.found("gulls") == []
    code, reason, _ = await refusal(service.get(document.document_id))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "DOCUMENT_NOT_FOUND")
    await nothing_is_left(database, service.blobs)
    assert not await service.delete(document.document_id)
    again = await service.upload(key="diary")
    assert (again.created, again.document.document_id) == (True, document.document_id)


async def test_a_document_whose_file_is_lost_says_so(service: DocumentClient):
    service.extractor.gate = asyncio.Event()
    lost, changed = await service.upload(), await service.upload("Another text.")
    keys = await files_of(service.blobs)
    for key in keys:
        path = service.blobs._folder / key  # type: ignore[attr-defined]
        if lost.document.document_id in key:
            path.unlink()
        else:
            path.write_bytes(b"another thing")

    for upload in (lost, changed):
        call = service.download(upload.document.document_id)
        code, reason, _ = await refusal(call)
        assert (code, reason) == (grpc.StatusCode.DATA_LOSS, "FILE_LOST")


async def test_a_range_of_a_file_can_be_read(service: DocumentClient):
    document_id = (await service.upload(b"0123456789")).document.document_id

    assert await service.download(document_id, offset=3, length=4) == b"3456"
    assert await service.download(document_id, offset=8) == b"89"
    assert await service.download(document_id, offset=8, length=100) == b"89"
    code, _, bad = await refusal(service.download(document_id, offset=10))
    assert (code, bad) == (grpc.StatusCode.INVALID_ARGUMENT, ["offset"])


async def test_a_signed_link_holds_for_its_document_and_its_time(
    service: DocumentClient, database: Database
):
    document_id = (await service.upload()).document.document_id
    other_id = (await service.upload("Another text.")).document.document_id
    request = pb.GetDocumentUrlRequest(document_id=document_id, seconds=60)

    url = (await service.documents.GetDocumentUrl(request)).url
    path, _, signature = url.partition("?signature=")
    until, _, mac = signature.partition(".")

    assert path == f"/v1/documents/{document_id}/content"
    assert await service.download(document_id, signature=signature) == TEXT.encode()
    for wrong in (
        f"{int(until) + 1}.{mac}", f"{until}.", f"{until}.{mac[:-1]}", "x", f"1.{mac}", "٣.x",
    ):  # fmt: skip
        code, reason, _ = await refusal(service.download(document_id, signature=wrong))
        assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "SIGNATURE_INVALID")
    code, reason, _ = await refusal(service.download(other_id, signature=signature))
    assert reason == "SIGNATURE_INVALID"
    async with document_service(database) as replica:
        assert await replica.download(document_id, signature=signature) == TEXT.encode()


async def test_a_link_that_is_over_is_refused(
    service: DocumentClient, monkeypatch: pytest.MonkeyPatch
):
    document_id = (await service.upload()).document.document_id
    request = pb.GetDocumentUrlRequest(document_id=document_id, seconds=60)
    answer = await service.documents.GetDocumentUrl(request)

    monkeypatch.setattr("knowledge_svc.downloads.time.time", lambda: answer.expires_at.seconds + 1)

    signature = answer.url.partition("?signature=")[2]
    _, reason, _ = await refusal(service.download(document_id, signature=signature))
    assert reason == "SIGNATURE_INVALID"


@pytest.mark.parametrize("most_bytes", [3 << 20, 1])
async def test_documents_are_listed_newest_first_in_pages(
    service: DocumentClient, monkeypatch: pytest.MonkeyPatch, most_bytes: int
):
    monkeypatch.setattr("svckit.pages._PAGE_BYTES", most_bytes)
    uploaded = [
        (await service.upload(f"Text {n}.", subject_id=ANN)).document.document_id for n in range(5)
    ]
    await service.upload("Somebody else's.")
    request = pb.ListDocumentsRequest(page_size=2)
    request.filter.subject_ids.append(ANN)

    listed: list[str] = []
    while True:
        answer = await service.documents.ListDocuments(request)
        listed += [document.document_id for document in answer.documents]
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token

    assert listed == uploaded[::-1]
    request.filter.ClearField("subject_ids")
    request.page_token = "".join(reversed("abc"))
    _, _, bad = await refusal(service.documents.ListDocuments(request))
    assert bad == ["page_token"]


async def test_a_list_can_be_narrowed_as_items_can(service: DocumentClient):
    await service.upload(
        "One.", key="one", namespace="a", session_id=SESSION, metadata={"n": 1, "o": {"a": 1}}
    )
    await service.upload(
        "Two.", key="two", subject_id=ANN, group_id=GROUP, platform="web", metadata={"n": 2}
    )
    narrowings: list[tuple[dict[str, Any], set[str]]] = [
        ({"namespaces": ["a"]}, {"one"}),
        ({"group_id": GROUP}, {"two"}),
        ({"session_id": SESSION}, {"one"}),
        ({"platform": "web"}, {"two"}),
        ({"metadata": {"n": 1}}, {"one"}),
        ({"metadata": {"n": 1, "o": {"a": 2}}}, set()),
        ({"subject_ids": [ANN]}, {"two"}),
        ({}, {"one", "two"}),
    ]
    for narrow, names in narrowings:
        request = pb.ListDocumentsRequest()
        if "metadata" in narrow:
            narrow = {"metadata": structs.from_dict(narrow["metadata"])}
        request.filter.CopyFrom(knowledge_pb2.KnowledgeFilter(**narrow))

        answer = await service.documents.ListDocuments(request)

        assert {document.key for document in answer.documents} == names, narrow


async def test_a_list_can_be_narrowed_by_state(service: DocumentClient):
    good, bad = await service.read("Fine."), await service.read("!!BROKEN!!")

    assert [d.document_id for d in await service.list(state=SUCCEEDED)] == [good.document_id]
    assert [d.document_id for d in await service.list(state=FAILED)] == [bad.document_id]
    assert await service.list(state=PENDING) == []


async def test_nothing_is_kept_about_whoever_was_erased(
    service: DocumentClient, database: Database
):
    document = await service.read(subject_id=ANN)
    async with as_administrator(database) as connection:
        await connection.execute(f"SELECT knowledge.close_subjects(ARRAY['{ANN}'::uuid])")

    for call in (
        service.upload("New.", subject_id=ANN),
        service.upload("New.", person_id=ANN),
        service.documents.ExtractDocument(
            pb.ExtractDocumentRequest(document_id=document.document_id)
        ),
    ):
        code, reason, _ = await refusal(call)
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SUBJECT_ERASED")
    assert await service.delete(document.document_id)


async def test_messages_in_the_wrong_order_are_refused(service: DocumentClient):
    async def data_first() -> AsyncIterator[pb.UploadDocumentRequest]:
        yield pb.UploadDocumentRequest(data=b"x")

    async def document_twice() -> AsyncIterator[pb.UploadDocumentRequest]:
        yield pb.UploadDocumentRequest(document=a_document())
        yield pb.UploadDocumentRequest(document=a_document())

    async def nothing() -> AsyncIterator[pb.UploadDocumentRequest]:
        return
        yield

    for parts, field in ((data_first, "document"), (document_twice, "data"), (nothing, "document")):
        code, _, bad = await refusal(service.documents.UploadDocument(parts()))
        assert (code, bad) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


async def test_the_upload_of_much_at_once_is_refused(service: DocumentClient):
    parts = messages(a_document(), [bytes((1 << 20) + 1)])

    code, _, bad = await refusal(service.documents.UploadDocument(parts))

    assert (code, bad) == (grpc.StatusCode.INVALID_ARGUMENT, ["data"])


async def test_a_deletion_is_finished_when_the_index_is_there_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("knowledge_svc.shredding._CALLER_SECONDS", 0.1)
    gates: list[GatedIndex] = []

    def gated(index: VectorIndex) -> VectorIndex:
        gates.append(GatedIndex(index))
        gates[0].may_return.set()
        return gates[0]

    async with document_service(database, index=gated) as service:
        document = await service.read()
        gates[0].fault = Unavailable("the index is away")

        assert await service.delete(document.document_id)
        assert await service.found("gulls") == []
        assert len(await files_of(service.blobs)) == 1
        gates[0].fault = None

        await nothing_is_left(database, service.blobs)


async def test_an_upload_waits_for_no_blob_store_and_leaves_nothing(database: Database):
    class Away(LocalBlobs):
        async def put(self, key: str, path: Path, *, media_type: str) -> None:
            raise BlobsUnavailable("it is away")

    blobs = Away(folder_of(database) / "blobs")
    async with document_service(database, blobs=blobs) as service:
        code, reason, _ = await refusal(service.upload())

        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "BLOBS_UNAVAILABLE")
        assert await service.list() == []
