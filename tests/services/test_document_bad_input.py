"""DocumentService: each field is checked before anything is done, and named."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2, timestamp_pb2

from kith.knowledge.v1 import document_pb2
from kith.knowledge.v1 import document_service_pb2 as pb
from tests.support.cluster import Database
from tests.support.documents import DocumentClient, a_document, document_service, files_of, rows_of
from tests.support.knowledge import refusal

LARGE = struct_pb2.Struct()
LARGE["k"] = "v" * (16 << 10)
WHOLE = "00000000-0000-0000-0000-000000000001"

DOCUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"filename": ""}, "document.filename"),
    ({"filename": "  "}, "document.filename"),
    ({"filename": "f" * 256}, "document.filename"),
    ({"filename": "a\0b"}, "document.filename"),
    ({"key": "é" * 257}, "document.key"),
    ({"key": "a\0b"}, "document.key"),
    ({"media_type": "text"}, "document.media_type"),
    ({"media_type": "text/plain\r\nx: y"}, "document.media_type"),
    ({"media_type": "a/" + "b" * 200}, "document.media_type"),
    ({"namespace": "a b"}, "document.namespace"),
    ({"namespace": "../x"}, "document.namespace"),
    ({"namespace": ".."}, "document.namespace"),
    ({"namespace": "."}, "document.namespace"),
    ({"namespace": ".unfinished-x"}, "document.namespace"),
    ({"namespace": "Memories"}, "document.namespace"),
    ({"subject_id": "x"}, "document.subject_id"),
    ({"person_id": "x"}, "document.person_id"),
    ({"group_id": "x"}, "document.group_id"),
    ({"session_id": "x"}, "document.session_id"),
    ({"platform": "a b"}, "document.platform"),
    ({"metadata": LARGE}, "document.metadata"),
    ({"sha256": b"short"}, "document.sha256"),
    ({"occurred_at": timestamp_pb2.Timestamp(seconds=-1)}, "document.occurred_at"),
]
REQUESTS: list[tuple[str, Any, str]] = [
    ("GetDocument", pb.GetDocumentRequest(), "document_id"),
    ("GetDocument", pb.GetDocumentRequest(document_id="x"), "document_id"),
    ("DeleteDocument", pb.DeleteDocumentRequest(document_id="x"), "document_id"),
    ("ExtractDocument", pb.ExtractDocumentRequest(document_id="x"), "document_id"),
    ("GetDocumentUrl", pb.GetDocumentUrlRequest(document_id="x"), "document_id"),
    ("GetDocumentUrl", pb.GetDocumentUrlRequest(document_id=WHOLE, seconds=-1), "seconds"),
    ("GetDocumentUrl", pb.GetDocumentUrlRequest(document_id=WHOLE, seconds=604_801), "seconds"),
    ("ListDocuments", pb.ListDocumentsRequest(page_size=-1), "page_size"),
    ("ListDocuments", pb.ListDocumentsRequest(page_token="x"), "page_token"),
    ("ListDocuments", pb.ListDocumentsRequest(key="k" * 513), "key"),
    ("ListDocuments", pb.ListDocumentsRequest(page_scope="s" * 129), "page_scope"),
    ("ListDocuments", pb.ListDocumentsRequest(state=99), "state"),  # type: ignore[arg-type]
    (
        "ListDocuments",
        pb.ListDocumentsRequest(filter={"namespaces": ["a b"]}),  # type: ignore[arg-type]
        "filter.namespaces[0]",
    ),
    ("DownloadDocument", pb.DownloadDocumentRequest(document_id="x"), "document_id"),
    ("DownloadDocument", pb.DownloadDocumentRequest(document_id=WHOLE, offset=-1), "offset"),
    ("DownloadDocument", pb.DownloadDocumentRequest(document_id=WHOLE, length=-1), "length"),
    (
        "DownloadDocument",
        pb.DownloadDocumentRequest(document_id=WHOLE, signature="s" * 513),
        "signature",
    ),
]


@pytest.fixture
async def service(database: Database) -> AsyncIterator[DocumentClient]:
    async with document_service(database) as running:
        yield running


async def test_each_field_of_a_new_document_is_checked(service: DocumentClient, database: Database):
    for changes, field in DOCUMENTS:
        code, reason, bad = await refusal(service.upload(**changes))

        assert (code, bad) == (grpc.StatusCode.INVALID_ARGUMENT, [field]), changes
        assert reason == "INVALID_ARGUMENT"
    assert not any((await rows_of(database)).values())
    assert await files_of(service.blobs) == []


async def test_each_field_of_the_other_requests_is_checked(service: DocumentClient):
    for method, request, field in REQUESTS:
        call = getattr(service.documents, method)(request)
        code, _, bad = await refusal(_all(call) if method == "DownloadDocument" else call)

        assert (code, bad) == (grpc.StatusCode.INVALID_ARGUMENT, [field]), request


async def _all(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


async def test_what_is_not_there_is_told(service: DocumentClient):
    for method, request in (
        ("GetDocument", pb.GetDocumentRequest(document_id=WHOLE)),
        ("ExtractDocument", pb.ExtractDocumentRequest(document_id=WHOLE)),
        ("GetDocumentUrl", pb.GetDocumentUrlRequest(document_id=WHOLE)),
        ("DownloadDocument", pb.DownloadDocumentRequest(document_id=WHOLE)),
    ):
        call = getattr(service.documents, method)(request)
        code, reason, _ = await refusal(_all(call) if method == "DownloadDocument" else call)

        assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "DOCUMENT_NOT_FOUND"), method
    assert not await service.delete(WHOLE)


async def test_bytes_that_are_not_what_was_said_leave_nothing(
    service: DocumentClient, database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("knowledge_svc.spooling.MOST_BYTES", 1000)
    cases: list[tuple[bytes, dict[str, Any], str, str]] = [
        (b"x" * 1001, {}, "DOCUMENT_TOO_LARGE", "data"),
        (b"x", {"sha256": b"\0" * 32}, "CHECKSUM_MISMATCH", "document.sha256"),
        (
            b"%PDF-1.7", {"filename": "report", "media_type": "text/plain"},
            "MEDIA_TYPE_MISMATCH", "document.media_type",
        ),
        (b"%PDF-1.7", {"filename": "a.txt"}, "MEDIA_TYPE_MISMATCH", "document.filename"),
    ]  # fmt: skip
    for data, changes, expected, field in cases:
        code, reason, bad = await refusal(service.upload(data, **changes))

        assert (code, reason, bad) == (grpc.StatusCode.INVALID_ARGUMENT, expected, [field])
    assert (await service.upload(b"x" * 1000)).document.size == 1000
    assert (await rows_of(database))["documents"] == 1
    assert len(await files_of(service.blobs)) == 1


async def test_an_upload_that_hangs_or_is_cut_off_leaves_nothing(
    service: DocumentClient, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
):
    monkeypatch.setattr("knowledge_svc.servicers.documents._SILENT_SECONDS", 0.1)

    async with document_service(database, spool=tmp_path) as other:
        hanging = other.documents.UploadDocument()
        await hanging.write(pb.UploadDocumentRequest(document=a_document()))
        await hanging.write(pb.UploadDocumentRequest(data=b"x" * 1000))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await hanging
        assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED

        monkeypatch.setattr("knowledge_svc.servicers.documents._SILENT_SECONDS", 5.0)
        monkeypatch.setattr("knowledge_svc.servicers.documents._UPLOAD_SECONDS", 0.3)
        dripping = other.documents.UploadDocument(_drips())
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await dripping
        assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED

        cut = other.documents.UploadDocument()
        await cut.write(pb.UploadDocumentRequest(document=document_pb2.NewDocument(filename="f")))
        await cut.write(pb.UploadDocumentRequest(data=b"x" * 1000))
        cut.cancel()

    assert [*tmp_path.iterdir()] == []
    assert await service.list() == []


async def _drips() -> AsyncIterator[pb.UploadDocumentRequest]:
    yield pb.UploadDocumentRequest(document=a_document())
    for _ in range(100):
        yield pb.UploadDocumentRequest(data=b"")
        await asyncio.sleep(0.05)
