"""Answers about erasures: the receipts."""

from typing import Any, Literal

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import LINK, TIME, example
from gateway.models.common import ADA

ERASURE = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f60"

_KNOWLEDGE: dict[str, Any] = {
    "stage": "knowledge",
    "erased": {
        "items": 120,
        "vectors": 120,
        "memories": 4,
        "memory_versions": 9,
        "documents": 1,
        "files": 1,
    },
    "remaining": {
        "items": 0,
        "vectors": 0,
        "memories": 0,
        "memory_versions": 0,
        "documents": 0,
        "files": 0,
    },
    "recorded_at": TIME,
}


@with_config(example(_KNOWLEDGE))
class ErasureStepAnswer(TypedDict):
    """A step that is done: how much was erased, and what an independent count found left."""

    stage: Literal["knowledge", "events", "identity"]
    erased: dict[str, int]
    remaining: dict[str, int]
    recorded_at: str | None


@with_config(example({"about": "backups", "detail": "Backups keep what they hold."}))
class CaveatAnswer(TypedDict):
    """What no erasure can force, or leaves where it is on purpose."""

    about: str
    detail: str


ERASURE_EXAMPLE: dict[str, Any] = {
    "erasure_id": ERASURE,
    "state": "running",
    "person_ids": [ADA],
    "subject_ids": [ADA, LINK],
    "steps": [_KNOWLEDGE],
    "erased": _KNOWLEDGE["erased"],
    "remaining": _KNOWLEDGE["remaining"],
    "started_at": TIME,
    "finished_at": None,
    "caveats": [{"about": "backups", "detail": "Backups keep what they hold."}],
}


@with_config(example(ERASURE_EXAMPLE))
class ErasureAnswer(TypedDict):
    """How far an erasure is; once it has `succeeded`, the receipt.

    `erased` and `remaining` are those of all steps together, by kind.
    """

    erasure_id: str
    state: Literal["running", "succeeded"]
    person_ids: list[str]
    subject_ids: list[str]
    steps: list[ErasureStepAnswer]
    erased: dict[str, int]
    remaining: dict[str, int]
    started_at: str | None
    finished_at: str | None
    caveats: list[CaveatAnswer]


class ErasuresAnswer(TypedDict):
    """One page, oldest first; `next_page_token` is null on the last."""

    erasures: list[ErasureAnswer]
    next_page_token: str | None
