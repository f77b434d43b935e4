"""Answers about what is remembered."""

from typing import Any

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import EVENT, KNOWLEDGE, TIME, example
from gateway.models.common import ADA

MEMORY_EXAMPLE: dict[str, Any] = {
    "memory_id": "0f0c5a52-5b0e-5d6a-8a3e-0d6a4f1b2c3d",
    "person_id": ADA,
    "key": "favourite_food",
    "value": "ramen with a soft egg",
    "category": "preference",
    "importance": 0.7,
    "metadata": {},
    "source_event_id": EVENT,
    "occurred_at": TIME,
    "created_at": TIME,
    "updated_at": TIME,
    "version": 1,
    "access_count": 3,
    "last_accessed_at": TIME,
    "shadowed_by_person_id": None,
    "deleted": False,
    "knowledge_id": KNOWLEDGE,
}
_SET = {**MEMORY_EXAMPLE, "changed": True, "index_token": "fR4vMBorXD2eT1prfI2eDwAAAAAAAAAB"}


@with_config(example(MEMORY_EXAMPLE))
class MemoryAnswer(TypedDict):
    """One thing remembered. `person_id` is whose it is, whoever they were merged into;
    `shadowed_by_person_id`, whose memory of the same key counts in its place.
    """

    memory_id: str
    person_id: str
    key: str
    value: str
    category: str
    importance: float
    metadata: dict[str, Any]
    source_event_id: str | None
    occurred_at: str | None
    created_at: str | None
    updated_at: str | None
    version: int
    access_count: int
    last_accessed_at: str | None
    shadowed_by_person_id: str | None
    deleted: bool
    knowledge_id: str | None


@with_config(example(_SET))
class SetMemoryAnswer(MemoryAnswer):
    """A memory as it is now, whether this call changed it, and the token of the write."""

    changed: bool
    index_token: str | None


@with_config(example({"memories": [_SET]}))
class SetMemoriesAnswer(TypedDict):
    """Each as it is now, in order."""

    memories: list[SetMemoryAnswer]


@with_config(example({**MEMORY_EXAMPLE, "shadowed": []}))
class CountingMemoryAnswer(MemoryAnswer):
    """The memory that counts, and those of the same key that it shadows."""

    shadowed: list[MemoryAnswer]


class MemoriesAnswer(TypedDict):
    """One page; `next_page_token` is null on the last."""

    memories: list[MemoryAnswer]
    next_page_token: str | None


class MemoryVersionsAnswer(TypedDict):
    """One page of a history, newest first, deletions included."""

    versions: list[MemoryAnswer]
    next_page_token: str | None


@with_config(example({**MEMORY_EXAMPLE, "score": 0.87}))
class MemoryHitAnswer(MemoryAnswer):
    """One memory found."""

    score: float


class MemoryHitsAnswer(TypedDict):
    """The hits, best first; which of `at_least` are pending; whether words alone were gone by."""

    hits: list[MemoryHitAnswer]
    pending: list[str]
    degraded: bool


@with_config(example({"deleted": True}))
class ForgottenAnswer(TypedDict):
    """Whether this call deleted it; false where it was gone or never there."""

    deleted: bool
