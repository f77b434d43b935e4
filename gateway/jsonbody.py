"""Reads JSON bodies once, strictly, and says where one is malformed."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from gateway.errors import Refused
from svckit import structs
from svckit.errors import InvalidRequest

_NO_LIMIT = 1 << 62


def parse(body: bytes) -> Any:
    """The JSON value; raises InvalidRequest, naming the spot as far as there is one."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        _explain(body)
        raise InvalidRequest("body", f"is not valid JSON: {error}") from None


def _explain(body: bytes) -> None:
    """Raise InvalidRequest for JSON that a lenient parser reads and no store can keep."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("body", f"is not valid UTF-8 at byte {error.start}") from None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    try:
        structs.check(value, "", most_bytes=_NO_LIMIT)
    except InvalidRequest as error:
        [(spot, problem)] = error.violations
        raise InvalidRequest(spot.removeprefix(".") or "body", problem) from None
    except ValueError:
        return


def is_json(content_type: str) -> bool:
    """Whether a media type is JSON; merge patches are."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


class _Parsed(Request):
    """A request whose body FastAPI gets as our parser read it."""

    def __init__(self, scope: Scope, receive: Receive, body: bytes, value: Any) -> None:
        super().__init__(scope, receive)
        self._body = body
        self._value = value

    async def json(self) -> Any:
        return self._value


class JsonRoute(APIRoute):
    """A route that reads its body before FastAPI does, so that every error names the spot."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        is_required = self.body_field.field_info.is_required()

        async def with_body(request: Request) -> Response:
            body = await request.body()
            if not (body or is_required):
                return await handle(request)
            if not is_json(request.headers.get("content-type", "")):
                raise Refused(
                    415, "UNSUPPORTED_MEDIA_TYPE", "send JSON, with Content-Type: application/json"
                )
            return await handle(_Parsed(request.scope, request.receive, body, parse(body)))

        return with_body
