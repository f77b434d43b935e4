"""Files: in, out, listed, read anew, deleted."""

from contextlib import aclosing
from typing import Annotated, Any

from fastapi import FastAPI, Header, Path, Query, Request
from starlette.responses import Response

from gateway.answers.documents import (
    DOCUMENT,
    DeletedAnswer,
    DocumentAnswer,
    DocumentsAnswer,
    UrlAnswer,
)
from gateway.clients import Clients, Documents
from gateway.errors import inside, renamed
from gateway.flows.filing import Filing
from gateway.flows.relevance import ConsentDefault
from gateway.middleware.guard import CALLER, LINK
from gateway.models.documents import ContentQuery, DocumentForm, DocumentsQuery, UrlQuery
from gateway.multipart import Form
from gateway.openapi import problems
from gateway.rendering import documents as rendering
from gateway.rendering.values import moment
from gateway.responses import respond, respond_made
from gateway.routes.content import FileResponse, etag_of, headers_of, is_known, range_of
from gateway.values import Uuid
from kith.knowledge.v1 import document_service_pb2
from svckit.errors import InvalidRequest, Unauthenticated

PATH = "/v1/documents"

DocumentId = Annotated[Uuid, Path(examples=[DOCUMENT])]
Tag = Annotated[str | None, Header(alias="If-None-Match", max_length=2048)]
Range = Annotated[str | None, Header(alias="Range", max_length=256)]
IfRange = Annotated[str | None, Header(alias="If-Range", max_length=2048)]

pb = document_service_pb2

_FORM = DocumentForm.model_json_schema()
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The fields, in any order, then the file as the last part.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        **_FORM["properties"],
                        "file": {"type": "string", "format": "binary"},
                    },
                    "required": ["file"],
                },
                "example": {**_FORM["examples"][0], "file": "(the bytes)"},
            }
        },
    }
}
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file as it came, to be saved; its ETag is its SHA-256.",
        "content": {
            "application/octet-stream": {
                "schema": {"type": "string", "format": "binary"}, "example": "(the bytes)",
            }
        },
    },
    **problems(404, 416),
}  # fmt: skip


def add(app: FastAPI, clients: Clients, consent_default: ConsentDefault) -> None:
    """Add the routes."""
    filing = Filing(clients, consent_default)
    _add_collection(app, filing)
    _add_content(app, clients, filing)
    _add_document(app, clients, filing)


def _add_collection(app: FastAPI, filing: Filing) -> None:
    @app.post(
        PATH, status_code=201, response_model=DocumentAnswer, tags=["documents"],
        responses={
            200: {"model": DocumentAnswer, "description": "A repeat: it was stored before."},
            **problems(404, 409, 413, 415),
        },
        openapi_extra=_UPLOAD,
    )  # fmt: skip
    async def post_document(request: Request) -> Response:
        """Keep a file; its text is read, and can be found, soon after."""
        form = Form(request.headers.get("content-type", ""), request.stream())
        await form.begin()
        fields = DocumentForm.model_validate(form.fields)
        try:
            answer = await filing.upload(fields, form.filename, form.media_type, form.blocks())
        except InvalidRequest as error:
            raise _of_form(error) from None
        return respond_made(rendering.document(answer.document), answer.created)

    @app.get(PATH, response_model=DocumentsAnswer, tags=["documents"], responses=problems(404))
    async def list_documents(query: Annotated[DocumentsQuery, Query()]) -> Response:
        """Documents, newest first: of each the latest version, unless asked otherwise."""
        shown, token = await filing.page(query)
        body: DocumentsAnswer = {
            "documents": [rendering.document(each) for each in shown],
            "next_page_token": token or None,
        }
        return respond(body)


def _add_content(app: FastAPI, clients: Clients, filing: Filing) -> None:
    documents = clients.documents

    @app.get(
        f"{PATH}/{{document_id}}/content", response_class=Response, tags=["documents"],
        responses=_CONTENT,
    )  # fmt: skip
    async def get_content(
        document_id: DocumentId, query: Annotated[ContentQuery, Query()], request: Request,
        tag: Tag = None, wanted: Range = None, if_range: IfRange = None,
    ) -> Response:  # fmt: skip
        """The file as it came: to those with a key, or with a link that still holds."""
        if request.scope[CALLER] == LINK and not query.signature:
            raise Unauthenticated("the link has no signature")
        asked = pb.DownloadDocumentRequest(document_id=document_id, signature=query.signature or "")
        if not (tag or wanted):
            return await _file(documents, filing, asked)
        # What is to be sent depends on what the file is: its record comes with its first byte.
        asked.length = 1
        async with aclosing(documents.download(asked)) as parts:
            document = (await anext(parts)).document
        await filing.ensure_shown(document)
        etag = etag_of(document)
        if is_known(tag, etag):
            return Response(None, 304, {"etag": etag})
        is_stale = if_range is not None and if_range.strip() != etag
        part = range_of(None if is_stale else wanted, document.size)
        asked.offset, asked.length = part or (0, 0)
        return await _file(documents, filing, asked)


async def _file(
    documents: Documents, filing: Filing, asked: pb.DownloadDocumentRequest
) -> Response:
    """The bytes asked for, from the first one on, once it is there."""
    parts = documents.download(asked)
    try:
        document = (await anext(parts)).document
        await filing.ensure_shown(document)
    except BaseException:
        await parts.aclose()
        raise
    headers = headers_of(document)
    if not asked.length:
        return FileResponse(parts, 200, {**headers, "content-length": str(document.size)})
    last = asked.offset + asked.length - 1
    headers["content-range"] = f"bytes {asked.offset}-{last}/{document.size}"
    return FileResponse(parts, 206, {**headers, "content-length": str(asked.length)})


def _add_document(app: FastAPI, clients: Clients, filing: Filing) -> None:
    documents = clients.documents
    at = f"{PATH}/{{document_id}}"

    @app.get(at, response_model=DocumentAnswer, tags=["documents"], responses=problems(404))
    async def get_document(document_id: DocumentId) -> Response:
        """A document, and how far its text is."""
        document = await documents.get(document_id)
        await filing.ensure_shown(document)
        return respond(rendering.document(document))

    @app.delete(at, response_model=DeletedAnswer, tags=["documents"], responses=problems())
    async def delete_document(document_id: DocumentId) -> Response:
        """Delete a document for good: its text, its file, its record."""
        request = pb.DeleteDocumentRequest(document_id=document_id)
        answer = await documents.ask(documents.stub.DeleteDocument, request)
        body: DeletedAnswer = {"document_id": document_id, "deleted": answer.deleted}
        return respond(body)

    @app.get(f"{at}/url", response_model=UrlAnswer, tags=["documents"], responses=problems(404))
    async def get_url(document_id: DocumentId, query: Annotated[UrlQuery, Query()]) -> Response:
        """A link that serves the file, for a while, to whoever has it."""
        await filing.ensure_shown(await documents.get(document_id))
        request = pb.GetDocumentUrlRequest(document_id=document_id, seconds=query.seconds)
        answer = await documents.ask(documents.stub.GetDocumentUrl, request)
        body: UrlAnswer = {"url": answer.url, "expires_at": moment(answer, "expires_at")}
        return respond(body)

    @app.post(
        f"{at}/extract", response_model=DocumentAnswer, tags=["documents"],
        responses=problems(404, 409),
    )  # fmt: skip
    async def post_extract(document_id: DocumentId) -> Response:
        """Read a document's text anew: one that failed, or all over."""
        await filing.ensure_shown(await documents.get(document_id))
        request = pb.ExtractDocumentRequest(document_id=document_id)
        answer = await documents.ask(documents.stub.ExtractDocument, request)
        return respond(rendering.document(answer.document))


def _of_form(error: InvalidRequest) -> BaseException:
    """An error of the service, by the names that the form has."""
    return renamed(inside(error, "document"), {"data": "file", "platform_id": "sender_id"})
