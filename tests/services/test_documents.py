"""DocumentService: files in and out, versions, their text, and their end."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import document_pb2, knowledge_pb2
from kith.knowledge.v1 import document_service_pb2 as pb
from kith.knowledge.v1 import knowledge_service_pb2 as items_pb
from svckit import ids, structs
from tests.support.cluster import Database
from tests.support.documents import (
    TEXT,
    DocumentClient,
    a_document,
    document_service,
    files_of,
    messages,
    nothing_is_left,
    rows_of,
)
from tests.support.knowledge import as_administrator, eventually, refusal

ANN, GROUP, SESSION = ids.named("ann"), ids.named("group"), ids.named("session")
PENDING = document_pb2.EXTRACTION_STATE_PENDING
RUNNING = document_pb2.EXTRACTION_STATE_RUNNING
SUCCEEDED = document_pb2.EXTRACTION_STATE_SUCCEEDED
FAILED = document_pb2.EXTRACTION_STATE_FAILED


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


async def test_a_sentence_from_the_middle_is_found_with_its_place(service: DocumentClient):
    document = await service.read(
        namespace="notes", subject_id=ANN, group_id=GROUP, session_id=SESSION, platform="web",
        metadata={"mood": "calm"},
    )  # fmt: skip

    [hit] = (await service.search("brother nets")).hits

    assert hit.item.content == "Her brother mends nets."
    assert (hit.item.document_id, hit.item.place.chunk_number) == (document.document_id, 1)
    assert (hit.item.namespace, hit.item.subject_id, hit.item.group_id) == ("notes", ANN, GROUP)
    assert (hit.item.session_id, hit.item.platform) == (SESSION, "web")
    assert structs.to_dict(hit.item.metadata) == {"mood": "calm"}
    assert hit.item.occurred_at == document.occurred_at


async def test_text_is_found_by_meaning_too_once_it_is_indexed(service: DocumentClient):
    await service.read()
    request = items_pb.SearchKnowledgeRequest(
        query="birds at the sea", mode=items_pb.SEARCH_MODE_SEMANTIC, limit=1
    )

    async def found() -> str:
        answer = await service.knowledge.SearchKnowledge(request)
        return answer.hits[0].item.content if answer.hits else ""

    await eventually(found)


async def test_a_transcript_is_dated_by_what_is_said_in_it(service: DocumentClient):
    text = "@2026-03-01T09:30:00+01:00 Ada I moved to Lisbon. @nonsense Ben You never did."

    await service.read(text)

    [hit] = (await service.search("Lisbon")).hits
    assert hit.item.occurred_at.ToJsonString() == "2026-03-01T08:30:00Z"
    assert [*hit.item.place.speakers] == ["Ada"]
    assert len(await service.found("never")) == 1


async def test_a_file_without_text_is_kept_and_served(service: DocumentClient):
    document = await service.read(b"\x89PNG\r\n", filename="chart.png")

    assert (document.state, document.indexed, document.chunks) == (SUCCEEDED, False, 0)
    assert document.media_type == "image/png"
    assert await service.download(document.document_id) == b"\x89PNG\r\n"


async def test_a_file_that_cannot_be_read_says_why_and_is_kept(
    service: DocumentClient, database: Database
):
    document = await service.read("One. Two. Three. Four. !!BROKEN!!")

    assert (document.state, document.failure_reason) == (FAILED, "BROKEN")
    assert document.failure_detail == "it is broken at its end"
    assert not document.indexed
    assert await service.found("Four") == []
    await eventually(partial(_has_items, database, 0))
    assert await service.download(document.document_id)


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


async def test_new_bytes_under_a_key_are_a_new_version_and_alone_are_found(
    service: DocumentClient, database: Database
):
    first = await service.read("The tea is green.", key="plan")
    second = await service.read("The coffee is black.", key="plan")

    assert (second.version, second.is_latest) == (2, True)
    assert not (await service.get(first.document_id)).is_latest
    assert await service.found("tea coffee") == ["The coffee is black."]
    assert [d.version for d in await service.list(key="plan")] == [2]
    both = await service.list(key="plan", include_earlier_versions=True)
    assert [d.version for d in both] == [2, 1]
    assert not both[1].indexed
    await eventually(partial(_has_items, database, 1))


async def _has_items(database: Database, number: int) -> bool:
    counts = await rows_of(database)
    return counts["knowledge_items"] == number and counts["vectors"] == number


async def test_a_version_stays_found_until_the_next_one_is_read(service: DocumentClient):
    await service.read("The tea is green.", key="plan")
    service.extractor.gate = asyncio.Event()

    second = (await service.upload("The coffee is black.", key="plan")).document
    await eventually(partial(_is_running, service, second.document_id))
    meanwhile = await service.found("tea coffee")
    service.extractor.gate.set()
    await service.settled(second.document_id)

    assert meanwhile == ["The tea is green."]
    assert await service.found("tea coffee") == ["The coffee is black."]


async def _is_running(service: DocumentClient, document_id: str) -> bool:
    return bool((await service.get(document_id)).state == RUNNING)


async def test_a_version_that_cannot_be_read_hides_the_one_before(service: DocumentClient):
    await service.read("The tea is green.", key="plan")

    await service.read("!!BROKEN!!", key="plan")

    assert await service.found("tea") == []


async def test_deleting_the_latest_brings_the_version_before_it_back(
    service: DocumentClient, database: Database
):
    first = await service.read("The tea is green.", key="plan")
    second = await service.read("The coffee is black.", key="plan")

    assert await service.delete(second.document_id)

    await eventually(partial(service.found, "tea"))
    restored = await service.settled(first.document_id)
    assert (restored.version, restored.is_latest, restored.indexed) == (1, True, True)
    assert await service.found("tea coffee") == ["The tea is green."]


async def test_what_is_superseded_before_it_is_read_is_not_read(service: DocumentClient):
    service.extractor.gate = asyncio.Event()
    first = (await service.upload("The tea is green.", key="plan")).document
    await eventually(partial(_is_running, service, first.document_id))
    second = (await service.upload("The coffee is black.", key="plan")).document
    service.extractor.gate.set()

    await service.settled(second.document_id)

    assert (await service.get(first.document_id)).state == SUCCEEDED
    assert await service.found("tea coffee") == ["The coffee is black."]


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


async def test_a_document_is_read_anew_on_request(service: DocumentClient, database: Database):
    document = await service.read()
    before = (await service.search("gulls")).hits[0].item.knowledge_id

    request = pb.ExtractDocumentRequest(document_id=document.document_id)
    asked = (await service.documents.ExtractDocument(request)).document
    await service.settled(document.document_id)

    assert asked.state == PENDING
    [hit] = (await service.search("gulls")).hits
    assert hit.item.knowledge_id != before
    await eventually(partial(_has_items, database, 3))


async def test_a_file_that_kills_its_reader_again_and_again_is_given_up(service: DocumentClient):
    service.extractor.fault = RuntimeError("whatever a library does")

    document = await service.read()

    assert (document.state, document.failure_reason) == (FAILED, "CRASHED")
    assert service.extractor.opened == 3


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


async def test_documents_are_listed_newest_first_in_pages(service: DocumentClient):
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


async def test_a_reading_about_somebody_erased_meanwhile_shows_nothing(
    service: DocumentClient, database: Database
):
    service.extractor.gate = asyncio.Event()
    document = (await service.upload(subject_id=ANN)).document
    await eventually(partial(_is_running, service, document.document_id))
    async with as_administrator(database) as connection:
        await connection.execute(f"SELECT knowledge.close_subjects(ARRAY['{ANN}'::uuid])")
    service.extractor.gate.set()
    # Whoever reads another one now has given that one up.
    await service.read("A text about nobody.")

    assert await service.found("gulls") == []
    assert (await service.get(document.document_id)).state == RUNNING


async def test_a_piece_of_a_document_stands_in_no_ones_way(service: DocumentClient):
    """The same sentence in two documents, and stored by itself."""
    await service.read("Gulls are loud. Gulls are loud.", key="a")
    await service.read("Gulls are loud.", key="b")

    assert await service.found("gulls") == ["Gulls are loud."] * 3


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
