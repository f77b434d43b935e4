"""Answers about files."""

from typing import Any

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import GROUP, TIME, example
from gateway.models.common import ADA

DOCUMENT = "5b1c9e0a-7f3d-5e8b-8a2c-4d6e8f0a1b2c"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

_DOCUMENT: dict[str, Any] = {
    "document_id": DOCUMENT,
    "key": "session-12",
    "version": 2,
    "is_latest": True,
    "filename": "session 12.pdf",
    "media_type": "application/pdf",
    "size": 48213,
    "sha256": _SHA256,
    "namespace": "transcripts",
    "metadata": {"coach": "Grace"},
    "person_id": ADA,
    "group_id": GROUP,
    "session_id": None,
    "platform": None,
    "occurred_at": TIME,
    "created_at": TIME,
    "state": "succeeded",
    "failure": None,
    "indexed": True,
    "chunks": 31,
    "pages": 12,
    "title": "Session 12",
}


@with_config(example({"reason": "ENCRYPTED", "detail": "it opens with a password only"}))
class FailureAnswer(TypedDict):
    """Why there is no text."""

    reason: str
    detail: str


@with_config(example(_DOCUMENT))
class DocumentAnswer(TypedDict):
    """A file, and how far its text is: pending, running, succeeded or failed."""

    document_id: str
    key: str | None
    version: int
    is_latest: bool
    filename: str
    media_type: str
    size: int
    sha256: str
    namespace: str
    metadata: dict[str, Any]
    person_id: str | None
    group_id: str | None
    session_id: str | None
    platform: str | None
    occurred_at: str | None
    created_at: str | None
    state: str
    failure: FailureAnswer | None
    indexed: bool
    chunks: int
    pages: int | None
    title: str | None


@with_config(example({"documents": [_DOCUMENT], "next_page_token": None}))
class DocumentsAnswer(TypedDict):
    """A page of documents, newest first."""

    documents: list[DocumentAnswer]
    next_page_token: str | None


@with_config(
    example(
        {
            "url": f"/v1/documents/{DOCUMENT}/content?signature=1772361000.q0vX",
            "expires_at": TIME,
        }
    )
)
class UrlAnswer(TypedDict):
    """A link: a whole URL, or a path on this gateway."""

    url: str
    expires_at: str | None


@with_config(example({"document_id": DOCUMENT, "deleted": True}))
class DeletedAnswer(TypedDict):
    """Whether there was something to delete."""

    document_id: str
    deleted: bool
