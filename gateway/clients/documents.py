"""Files, through the knowledge service."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from gateway.channels import Channel
from gateway.clients.service import Service
from kith.knowledge.v1 import document_pb2, document_service_pb2
from kith.knowledge.v1.document_service_pb2_grpc import DocumentServiceStub

if TYPE_CHECKING:
    from kith.knowledge.v1.document_service_pb2_grpc import DocumentServiceAsyncStub as AsyncStub
else:
    # Only the types tell the two apart.
    AsyncStub = DocumentServiceStub

_BLOCK = 256 << 10

pb = document_service_pb2


class Documents(Service[AsyncStub]):
    """The documents of the knowledge service, over the channel that the service has already."""

    def __init__(self, channel: Channel, seconds: float, transfer_seconds: float) -> None:
        super().__init__(channel, DocumentServiceStub(channel.grpc), seconds)
        self._transfer_seconds = transfer_seconds

    async def get(self, document_id: str) -> document_pb2.Document:
        """The record of a document."""
        request = pb.GetDocumentRequest(document_id=document_id)
        return (await self.ask(self.stub.GetDocument, request)).document

    async def upload(
        self, new: document_pb2.NewDocument, blocks: AsyncIterator[bytes]
    ) -> pb.UploadDocumentResponse:
        """Keep a file; its bytes are taken as fast as the service takes them."""

        async def messages() -> AsyncIterator[pb.UploadDocumentRequest]:
            yield pb.UploadDocumentRequest(document=new)
            async for block in blocks:
                for start in range(0, len(block), _BLOCK):
                    yield pb.UploadDocumentRequest(data=block[start : start + _BLOCK])

        return await self.channel.send(self.stub.UploadDocument, messages(), self._transfer_seconds)

    async def download(
        self, request: pb.DownloadDocumentRequest
    ) -> AsyncGenerator[pb.DownloadDocumentResponse, None]:
        """The record, then the bytes, as fast as they are taken."""
        answers = self.channel.receive(self.stub.DownloadDocument, request, self._transfer_seconds)
        async for answer in answers:
            yield answer
