"""DocumentService: parse, ask, render."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from google.protobuf import timestamp_pb2

from kith.knowledge.v1 import document_service_pb2 as pb
from knowledge_svc import metrics
from knowledge_svc.downloads import Downloads, Links
from knowledge_svc.ports.blobs import BlobStore
from knowledge_svc.ports.documents import DocumentStore
from knowledge_svc.shredding import Shredder
from knowledge_svc.spooling import Spool
from knowledge_svc.uploads import Uploads
from knowledge_svc.wire import documents as wire
from knowledge_svc.wire import items
from svckit import fields, pages, rpc
from svckit.errors import InvalidRequest

MOST_BLOCK = 1 << 20
_DOWNLOAD_BLOCK = 256 << 10
# An upload whose caller says nothing for so long is over, and leaves nothing.
_SILENT_SECONDS = 30.0
# So is one that drips: it holds the place of others, and what is on its way for longer than an
# hour counts as left behind.
_UPLOAD_SECONDS = 1800.0
_SIGNATURE_BYTES = 512


class Documents:
    """Files in and out, and their records."""

    def __init__(
        self, store: DocumentStore, blobs: BlobStore, spool: Spool, uploads: Uploads,
        downloads: Downloads, links: Links, shredder: Shredder,
        wake_readers: Callable[[], None],
    ) -> None:  # fmt: skip
        self._store = store
        self._blobs = blobs
        self._spool = spool
        self._uploads = uploads
        self._downloads = downloads
        self._links = links
        self._shredder = shredder
        self._wake_readers = wake_readers

    async def UploadDocument(
        self, requests: AsyncIterator[pb.UploadDocumentRequest], context: rpc.Context
    ) -> pb.UploadDocumentResponse:
        first = await _next(requests)
        if first is None or not first.HasField("document"):
            raise InvalidRequest("document", "is required, in the first message")
        new = wire.to_new_document(first.document)
        async with self._spool.file() as file:
            async with asyncio.timeout(_UPLOAD_SECONDS):
                while (part := await _next(requests)) is not None:
                    await file.write(_data_of(part))
            kept = await self._uploads.keep(new, file)
        return pb.UploadDocumentResponse(
            document=wire.from_document(kept.document), created=kept.created
        )

    async def GetDocument(
        self, request: pb.GetDocumentRequest, context: rpc.Context
    ) -> pb.GetDocumentResponse:
        document = await self._store.get(fields.uuid(request.document_id, "document_id"))
        return pb.GetDocumentResponse(document=wire.from_document(document))

    async def ListDocuments(
        self, request: pb.ListDocumentsRequest, context: rpc.Context
    ) -> pb.ListDocumentsResponse:
        limit = pages.size(request.page_size, default=50, most=500)
        chosen = items.to_filter(request.filter)
        selection = wire.to_selection(request)
        query = wire.to_query(request, chosen, selection)
        before = wire.to_place(request.page_token, query)

        found = await self._store.page(chosen, selection, before=before, limit=limit + 1)
        documents = pages.fitting(map(wire.from_document, found[:limit]))
        more = len(documents) < len(found)
        return pb.ListDocumentsResponse(
            documents=documents,
            next_page_token=wire.page_token(found[len(documents) - 1], query) if more else "",
        )

    async def DownloadDocument(
        self, request: pb.DownloadDocumentRequest, context: rpc.Context
    ) -> AsyncIterator[pb.DownloadDocumentResponse]:
        document_id = fields.uuid(request.document_id, "document_id")
        offset, length = wire.to_range(request)
        if request.signature:
            fields.text(request.signature, "signature", most=_SIGNATURE_BYTES)
            await self._links.check(document_id, request.signature)
        document = await self._store.get(document_id)
        reading = self._downloads.read(document, offset=offset, length=length)
        async with contextlib.aclosing(reading) as blocks:
            # A file that is not there is told before anything else is.
            block = await anext(blocks, None)
            yield pb.DownloadDocumentResponse(document=wire.from_document(document))
            while block is not None:
                for start in range(0, len(block), _DOWNLOAD_BLOCK):
                    yield pb.DownloadDocumentResponse(data=block[start : start + _DOWNLOAD_BLOCK])
                metrics.DOWNLOADED_BYTES.inc(len(block))
                block = await anext(blocks, None)

    async def GetDocumentUrl(
        self, request: pb.GetDocumentUrlRequest, context: rpc.Context
    ) -> pb.GetDocumentUrlResponse:
        seconds = wire.to_seconds(request)
        document = await self._store.get(fields.uuid(request.document_id, "document_id"))
        until = timestamp_pb2.Timestamp()
        until.GetCurrentTime()
        until.FromSeconds(until.seconds + seconds)
        url = await self._blobs.url(document.blob_key, filename=document.filename, seconds=seconds)
        if url is None:
            url, moment = await self._links.sign(document.document_id, seconds=seconds)
            until.FromDatetime(moment)
        return pb.GetDocumentUrlResponse(url=url, expires_at=until)

    async def DeleteDocument(
        self, request: pb.DeleteDocumentRequest, context: rpc.Context
    ) -> pb.DeleteDocumentResponse:
        document_id = fields.uuid(request.document_id, "document_id")
        deleted = await self._shredder.delete(document_id)
        if deleted:
            # The version before it is to be read again.
            self._wake_readers()
        return pb.DeleteDocumentResponse(deleted=deleted)

    async def ExtractDocument(
        self, request: pb.ExtractDocumentRequest, context: rpc.Context
    ) -> pb.ExtractDocumentResponse:
        document_id = fields.uuid(request.document_id, "document_id")
        document = await self._store.request_reading(document_id)
        self._wake_readers()
        return pb.ExtractDocumentResponse(document=wire.from_document(document))


def _data_of(part: pb.UploadDocumentRequest) -> bytes:
    if part.WhichOneof("part") != "data":
        raise InvalidRequest("data", "is required, in all messages but the first")
    if len(part.data) > MOST_BLOCK:
        raise InvalidRequest("data", f"has more than {MOST_BLOCK} bytes in a message")
    return part.data


async def _next(
    requests: AsyncIterator[pb.UploadDocumentRequest],
) -> pb.UploadDocumentRequest | None:
    """The next message, None after the last; raises TimeoutError where none comes."""
    async with asyncio.timeout(_SILENT_SECONDS):
        return await anext(requests, None)
