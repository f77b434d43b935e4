"""Documents of tests: uploads over a real channel, and what came of them."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg
import grpc

from kith.knowledge.v1 import document_pb2, document_service_pb2_grpc
from kith.knowledge.v1 import document_service_pb2 as pb
from kith.knowledge.v1 import knowledge_service_pb2 as items_pb
from knowledge_svc.ports.blobs import BlobStore
from svckit import ids, structs
from tests.support.blobs import blobs_of
from tests.support.cluster import Database
from tests.support.extractor import SentenceExtractor
from tests.support.knowledge import Stub, eventually, knowledge_service

DocumentStub = document_service_pb2_grpc.DocumentServiceStub
ANN, GROUP, SESSION = ids.named("ann"), ids.named("group"), ids.named("session")
PENDING = document_pb2.EXTRACTION_STATE_PENDING
RUNNING = document_pb2.EXTRACTION_STATE_RUNNING
SUCCEEDED = document_pb2.EXTRACTION_STATE_SUCCEEDED
FAILED = document_pb2.EXTRACTION_STATE_FAILED
DONE = (SUCCEEDED, FAILED)
TEXT = "The lighthouse keeper counts gulls. Her brother mends nets. They meet on Sundays."


def a_document(metadata: dict[str, Any] | None = None, **changes: Any) -> document_pb2.NewDocument:
    """What is said of a file."""
    document = document_pb2.NewDocument(**{"filename": "notes.txt", **changes})
    if metadata is not None:
        document.metadata.CopyFrom(structs.from_dict(metadata))
    return document


@dataclass
class DocumentClient:
    """A running service: its stubs, and what it stands on."""

    documents: DocumentStub
    knowledge: Stub
    extractor: SentenceExtractor
    blobs: BlobStore

    async def upload(
        self, data: bytes | str = TEXT, block: int = 256 << 10, **changes: Any
    ) -> pb.UploadDocumentResponse:
        """Upload a file whole."""
        data = data.encode() if isinstance(data, str) else data
        blocks = (data[start : start + block] for start in range(0, len(data), block))
        return await self.documents.UploadDocument(messages(a_document(**changes), blocks))

    async def get(self, document_id: str) -> document_pb2.Document:
        """The record."""
        request = pb.GetDocumentRequest(document_id=document_id)
        return (await self.documents.GetDocument(request)).document

    async def read(self, data: bytes | str = TEXT, **changes: Any) -> document_pb2.Document:
        """Upload a file, and wait until its text is read."""
        document = (await self.upload(data, **changes)).document
        return await self.settled(document.document_id)

    async def settled(self, document_id: str) -> document_pb2.Document:
        """The record, once its text is read or given up."""

        async def is_settled() -> document_pb2.Document | None:
            document = await self.get(document_id)
            return document if document.state in DONE else None

        found: document_pb2.Document = await eventually(is_settled)
        return found

    async def found(self, query: str, **where: Any) -> list[str]:
        """What a search by words finds."""
        return [hit.item.content for hit in (await self.search(query, **where)).hits]

    async def search(self, query: str, **where: Any) -> items_pb.SearchKnowledgeResponse:
        """A search by words."""
        request = items_pb.SearchKnowledgeRequest(
            query=query, mode=items_pb.SEARCH_MODE_KEYWORD, limit=50
        )
        for name, value in where.items():
            if isinstance(value, list):
                getattr(request.filter, name).extend(value)
            else:
                setattr(request.filter, name, value)
        return await self.knowledge.SearchKnowledge(request)

    async def download(self, document_id: str, **which: Any) -> bytes:
        """The bytes."""
        request = pb.DownloadDocumentRequest(document_id=document_id, **which)
        return b"".join([part.data async for part in self.documents.DownloadDocument(request)])

    async def delete(self, document_id: str) -> bool:
        """Delete it."""
        request = pb.DeleteDocumentRequest(document_id=document_id)
        return (await self.documents.DeleteDocument(request)).deleted

    async def list(self, **changes: Any) -> list[document_pb2.Document]:
        """The first page of a list."""
        request = pb.ListDocumentsRequest(**changes)
        return [*(await self.documents.ListDocuments(request)).documents]


async def messages(
    document: document_pb2.NewDocument, blocks: Iterable[bytes]
) -> AsyncIterator[pb.UploadDocumentRequest]:
    """The messages of an upload."""
    yield pb.UploadDocumentRequest(document=document)
    for block in blocks:
        yield pb.UploadDocumentRequest(data=block)


@asynccontextmanager
async def document_service(database: Database, **parts: Any) -> AsyncIterator[DocumentClient]:
    """A running service that reads plain text; `parts` are backends."""
    extractor = parts.setdefault("extractor", SentenceExtractor())
    blobs = parts.setdefault("blobs", blobs_of(database))
    async with knowledge_service(database, **parts) as stub:
        yield DocumentClient(DocumentStub(stub.channel), stub, extractor, blobs)


async def files_of(blobs: BlobStore) -> list[str]:
    """The keys of all files that there are."""
    keys: list[str] = []
    after = None
    while True:
        page = await blobs.page(after=after, limit=100)
        keys += [blob.key for blob in page.blobs]
        after = page.after
        if after is None:
            return keys


async def rows_of(database: Database) -> dict[str, int]:
    """How much there is of a document behind the service, in each place."""
    connection = await asyncpg.connect(database.url())
    try:
        counts = {
            table: await connection.fetchval(f"SELECT count(*) FROM knowledge.{table}")
            for table in ("documents", "knowledge_items", "index_states", "hidden_readings")
        }
        vectors = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relname LIKE 'vectors\\_%' AND relkind = 'r'"
        )
        counts["vectors"] = sum(
            [await connection.fetchval(f"SELECT count(*) FROM knowledge.{v[0]}") for v in vectors]
        )
        return counts
    finally:
        await connection.close()


async def nothing_is_left(database: Database, blobs: BlobStore) -> None:
    """Return when there is nothing of any document in any place."""

    async def is_empty() -> bool:
        return not any((await rows_of(database)).values()) and not await files_of(blobs)

    await eventually(partial(is_empty))


async def refused(call: Any) -> grpc.aio.AioRpcError:
    """The error that a call is refused with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call was not refused")
