"""What several kinds of answers have in common."""

from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

LINK = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f31"
GROUP = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f50"
SESSION = "8f14e45f-ceea-467f-a0e6-1d2f3b4c5d6e"
EVENT = "3f0c5a52-5b0e-5d6a-8a3e-0d6a4f1b2c3d"
KNOWLEDGE = "7d1e2f30-1a2b-5c3d-9e4f-5a6b7c8d9e0f"
ETAG = "0192d3a5-0000-7000-8000-000000000001"
TIME = "2026-03-01T09:30:00Z"


def example(value: dict[str, Any]) -> ConfigDict:
    """What an answer looks like."""
    return ConfigDict(json_schema_extra={"examples": [value]})


@with_config(example({"field": "platform", "message": "is required"}))
class FieldError(TypedDict):
    """What is wrong with one field, by its path."""

    field: str
    message: str


PROBLEM: dict[str, Any] = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "platform: is required",
    "reason": "INVALID_ARGUMENT",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "errors": [{"field": "platform", "message": "is required"}],
}


@with_config(ConfigDict(extra="allow", json_schema_extra={"examples": [PROBLEM]}))
class ProblemAnswer(TypedDict, total=False):
    """An error (RFC 9457), as application/problem+json; a reason may bring members of its own."""

    type: str
    title: str
    status: int
    detail: str
    reason: str
    trace_id: str
    errors: list[FieldError]
    retry_after: int
