"""The one table from errors to HTTP: RFC 9457 `application/problem+json`.

Every error that leaves the gateway is a Problem: raised by a route, answered by a service,
found by FastAPI, or unexpected.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway import tracing
from svckit import errors, logs

log = logs.get(__name__)

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 20

STATUSES: dict[type[BaseException], int] = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.Conflict: 409,
    errors.FailedPrecondition: 409,
    errors.ResourceExhausted: 429,
    errors.Unavailable: 503,
    errors.DataLoss: 500,
    TimeoutError: 504,
}

# Reasons for which HTTP has a status that says more than that of their kind.
_REASONS = {"POSITION_EXPIRED": 410, "DOCUMENT_TOO_LARGE": 413}

# Reasons of what HTTP itself refuses.
_HTTP_REASONS = {
    404: "ROUTE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    416: "RANGE_NOT_SATISFIABLE",
}

# Their own words name the types of a library.
_PHRASES = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
}
_OPENING = re.compile("^(Input|String|Value) should ")

# Which of several requests, or events of a request, a service means.
_PLACE = re.compile(r"^(?:\w+\[\d+\]\.)+")
_EVENTS = re.compile(r"^(?:requests\[\d+\]\.)?events(?=\[)")

Errors = Sequence[tuple[str, str]]


class Refused(Exception):
    """What the gateway refuses before any service is asked."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Problem:
    """An error as a client sees it; `members` stand beside the standard ones."""

    status: int
    reason: str
    detail: str
    errors: Errors = ()
    retry_after: float | None = None
    members: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """The JSON object."""
        body: dict[str, Any] = {
            **self.members,
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
            "trace_id": tracing.current().trace_id,
        }
        if self.errors:
            body["errors"] = [{"field": name, "message": message} for name, message in self.errors]
        if self.retry_after is not None:
            body["retry_after"] = math.ceil(self.retry_after)
        return body

    def response(self) -> Response:
        """The whole answer."""
        headers = {}
        if self.retry_after is not None:
            headers["retry-after"] = str(math.ceil(self.retry_after))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return Response(orjson.dumps(self.body()), self.status, headers, media_type=MEDIA_TYPE)


def problem_of(error: BaseException) -> Problem:
    """The problem that an error is to a client; what is unexpected goes to the log."""
    match error:
        case Refused():
            return Problem(error.status, error.reason, str(error))
        case RequestValidationError():
            # The first part of a location says where FastAPI found it: body, query, path.
            return _invalid([_violation(found, found["loc"][1:]) for found in error.errors()])
        case ValidationError():
            found_all = error.errors(include_url=False, include_input=False)
            return _invalid([_violation(found, found["loc"]) for found in found_all])
        case errors.InvalidRequest():
            return _invalid(error.violations, error.reason, error.metadata)
        case ClientDisconnect():
            # Nobody is there to be told; it is for the log and the metrics.
            return _invalid([("body", "ends before the request does")])
        case HTTPException():
            reason = _HTTP_REASONS.get(error.status_code, "REFUSED")
            return Problem(error.status_code, reason, error.detail)
        case TimeoutError():
            return Problem(504, "DEADLINE_EXCEEDED", "the request took too long")
        case errors.ServiceError():
            return _of_service(error)
    log.error("unexpected error", exc_info=error)
    return _internal()


async def answer(_: Request, error: Exception) -> Response:
    """FastAPI's handler of every kind of error."""
    response = problem_of(error).response()
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


def renamed(error: BaseException, fields: dict[str, str]) -> BaseException:
    """The error of a service about its own fields, as one about the client's.

    What a service calls `events[1].content.text` is looked up as `content`.
    """
    return _with_names(error, lambda name: _renamed(name, fields))


def in_batch(error: BaseException) -> BaseException:
    """The error of a service about the events of a request, by their places in the client's.

    What a service calls `events[17].content` is `[17].content`.
    """
    return _with_names(error, lambda name: _EVENTS.sub("", name))


def inside(error: BaseException, field: str) -> BaseException:
    """The error of a service about what its request holds in a field, which a client sends bare."""
    return _with_names(error, lambda name: name.removeprefix(f"{field}."))


def moved(error: BaseException, field: str, to: str) -> BaseException:
    """The error of a service about a field of its own, which with a client stands elsewhere."""
    return _with_names(
        error, lambda name: to + name.removeprefix(field) if name.startswith(field) else name
    )


def _with_names(error: BaseException, rename: Callable[[str], str]) -> BaseException:
    if not isinstance(error, errors.InvalidRequest) or not error.violations:
        return error
    first, *more = [(rename(name), problem) for name, problem in error.violations]
    named = errors.InvalidRequest(*first, *more)
    named.reason, named.metadata = error.reason, error.metadata
    return named


def _renamed(name: str, fields: dict[str, str]) -> str:
    head, dot, rest = _PLACE.sub("", name).partition(".")
    return fields.get(head, head) + dot + rest


def _of_service(error: errors.ServiceError) -> Problem:
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), None)
    if status is None:
        log.error("an error of no kind", exc_info=error)
        return _internal()
    retry_after = getattr(error, "retry_after", None)
    status = _REASONS.get(error.reason, status)
    return Problem(status, error.reason, error.message, (), retry_after, error.metadata)


def _invalid(
    violations: Errors,
    reason: str = errors.InvalidRequest.reason,
    members: dict[str, str] | None = None,
) -> Problem:
    shown = tuple(violations[:MOST_ERRORS])
    detail = "; ".join(f"{name}: {message}" if name else message for name, message in shown[:3])
    if len(violations) > 3:
        detail += f"; and {len(violations) - 3} more"
    status = _REASONS.get(reason, 400)
    return Problem(status, reason, detail or "is invalid", shown, members=members or {})


def _internal() -> Problem:
    return Problem(500, "INTERNAL", "internal error")


def _violation(found: Any, location: Sequence[int | str]) -> tuple[str, str]:
    """Field and message of one of pydantic's errors."""
    context = found.get("ctx") or {}
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f".{part}"
    # Our own checks say where inside of a value something is.
    spot = context.get("spot", "")
    name += spot if spot.startswith((".", "[")) or not spot else f".{spot}"
    match found["type"]:
        case "too_long" | "too_short":
            least, most = context.get("min_length", 0), context.get("max_length", "more")
            message = f"has {context['actual_length']} entries; {least} to {most} are allowed"
        case kind:
            message = _PHRASES.get(kind) or _OPENING.sub("should ", str(found["msg"]))
    return name.removeprefix(".") or "body", message
