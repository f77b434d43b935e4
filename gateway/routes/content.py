"""A file on its way out: whole or in part, checked, and nothing that a browser would run."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kith.knowledge.v1 import document_pb2, document_service_pb2

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+")
_UNSAFE = re.compile(r"[^A-Za-z0-9 ._()-]")

Parts = AsyncGenerator[document_service_pb2.DownloadDocumentResponse, None]


class RangeNotSatisfiable(HTTPException):
    """Nothing of the file is in the range."""

    def __init__(self, size: int) -> None:
        super().__init__(416, f"the file has {size} bytes", {"content-range": f"bytes */{size}"})


def range_of(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and length that a Range header asks for; None for all.

    Several ranges at once, and what is no range, are answered with the whole file (RFC 9110).
    Raises RangeNotSatisfiable where the range is behind the end.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        if not int(last) or not size:
            raise RangeNotSatisfiable(size)
        length = min(int(last), size)
        return size - length, length
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeNotSatisfiable(size)
    return int(first), min(int(last or size), size - 1) - int(first) + 1


def etag_of(document: document_pb2.Document) -> str:
    """A document never changes, and neither does its tag."""
    return f'"{document.sha256.hex()}"'


def is_known(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names a tag; one that a proxy made weak is as good."""
    named = [each.strip().removeprefix("W/") for each in (header or "").split(",")]
    return etag in named or named == ["*"]


def headers_of(document: document_pb2.Document) -> dict[str, str]:
    """What is said of a file whatever part of it is asked for."""
    name = document.filename
    plain = _UNSAFE.sub("_", name)
    media_type = document.media_type
    return {
        "content-type": media_type if _MEDIA_TYPE.fullmatch(media_type)
        else "application/octet-stream",
        # Saved, and never shown as a page of this origin: it is whatever somebody uploaded.
        "content-disposition": f"attachment; filename=\"{plain}\"; "
        f"filename*=UTF-8''{quote(name, safe='')}",
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
        "cache-control": "private, no-cache",
        "accept-ranges": "bytes",
        "etag": etag_of(document),
    }  # fmt: skip


class FileResponse(Response):
    """Passes the bytes on as they come; what is not whole is broken off, never ended."""

    def __init__(self, parts: Parts, status: int, headers: dict[str, str]) -> None:
        super().__init__(None, status, headers)
        del self.headers["content-length"]
        self.headers["content-length"] = headers["content-length"]
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._parts) as parts:
            start = {"type": "http.response.start", "status": self.status_code}
            await send({**start, "headers": self.raw_headers})
            async for part in parts:
                await send({"type": "http.response.body", "body": part.data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
