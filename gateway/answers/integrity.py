"""Answers about whether rows, vectors and files fit together."""

from typing import Any, NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import KNOWLEDGE, TIME, ProblemAnswer, example
from gateway.models.common import ADA

_SPACE = "wordllama_256_256_whole_1"
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_FINDING: dict[str, Any] = {
    "kind": "VECTOR_MISSING", "knowledge_id": KNOWLEDGE, "document_id": None, "blob_key": None,
    "space": _SPACE, "detail": "indexed, and there is no vector",
}  # fmt: skip
_PROGRESS = {"stage": "items", "looked_at": 500, "estimated_total": 12000}
_SUMMARY: dict[str, Any] = {
    "looked_at": {"items": 12000, "vectors": 11999, "documents": 40, "files": 40},
    "findings": {"VECTOR_MISSING": 1},
    "actions": {},
}


@with_config(example(_FINDING))
class FindingAnswer(TypedDict):
    """One thing that does not fit, and what it is about."""

    kind: str
    knowledge_id: str | None
    document_id: str | None
    blob_key: str | None
    space: str | None
    detail: str


@with_config(example({"finding": _FINDING, "action": "REQUEUED"}))
class RepairAnswer(TypedDict):
    """A finding, and what was done about it, or would be."""

    finding: FindingAnswer
    action: str


@with_config(example(_PROGRESS))
class ProgressAnswer(TypedDict):
    """How many of about how many a stage has looked at; 0 where nobody knows."""

    stage: str
    looked_at: int
    estimated_total: int


@with_config(example(_SUMMARY))
class SummaryAnswer(TypedDict):
    """How many were looked at by stage, found by kind, and mended by action."""

    looked_at: dict[str, int]
    findings: dict[str, int]
    actions: dict[str, int]


@with_config(example({"finding": _FINDING}))
class WalkLine(TypedDict):
    """A line of a walk: exactly one of these. The last is a summary, or the error that ended it."""

    finding: NotRequired[FindingAnswer]
    repair: NotRequired[RepairAnswer]
    progress: NotRequired[ProgressAnswer]
    summary: NotRequired[SummaryAnswer]
    error: NotRequired[ProblemAnswer]


VERIFY_LINES = [{"progress": _PROGRESS}, {"finding": _FINDING}, {"summary": _SUMMARY}]
REPAIR_LINES = [
    {"repair": {"finding": _FINDING, "action": "REQUEUED"}},
    {"summary": {**_SUMMARY, "actions": {"REQUEUED": 1}}},
]


class VectorTruthAnswer(TypedDict):
    """What a space holds of an item; hashes are SHA-256 in hex, null where unknown."""

    space: str
    is_serving: bool
    exists: bool
    content_hash: str | None
    expected_content_hash: str | None
    fields: dict[str, Any]


class FileTruthAnswer(TypedDict):
    """What the blob store holds of a document, as it is now."""

    blob_key: str
    exists: bool
    size: int
    sha256: str | None


_ITEM = {"knowledge_id": KNOWLEDGE, "namespace": "messages", "content": "I moved to Lisbon.",
         "subject_id": ADA, "occurred_at": TIME, "index_state": "indexed"}  # fmt: skip


@with_config(
    example(
        {
            "item": _ITEM,
            "deleted_at": None,
            "is_deleting": False,
            "queue": {"state": "indexed", "attempts": 0},
            "vectors": [
                {
                    "space": _SPACE, "is_serving": True, "exists": True, "content_hash": _HASH,
                    "expected_content_hash": _HASH, "fields": {"namespace": "messages"},
                }
            ],
            "document": None,
            "file": None,
            "chunk_rows": 0,
            "chunk_vectors": 0,
            "findings": [],
        }
    )
)  # fmt: skip
class GroundTruthAnswer(TypedDict):
    """What each store holds of one item or document; null where there is nothing."""

    item: dict[str, Any] | None
    deleted_at: str | None
    is_deleting: bool
    queue: dict[str, Any] | None
    vectors: list[VectorTruthAnswer]
    document: dict[str, Any] | None
    file: FileTruthAnswer | None
    chunk_rows: int
    chunk_vectors: int
    findings: list[FindingAnswer]
