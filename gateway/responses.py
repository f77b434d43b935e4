"""Answers as HTTP has them."""

from typing import Any

import orjson
from starlette.responses import Response


def respond(answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer as JSON."""
    return Response(orjson.dumps(answer), status, headers, media_type="application/json")


def respond_made(answer: Any, is_new: bool, etag: str | None = None) -> Response:
    """The answer to a creation: 201, or 200 for a repeat."""
    return respond(answer, 201 if is_new else 200, _tagged(etag))


def respond_tagged(answer: Any, etag: str) -> Response:
    """Something that can be changed under the condition that it is as it was."""
    return respond(answer, 200, _tagged(etag))


def _tagged(etag: str | None) -> dict[str, str] | None:
    return {"etag": f'"{etag}"'} if etag else None
