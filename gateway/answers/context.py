"""What a prompt needs, section by section."""

from typing import Any, Literal

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import example
from gateway.answers.events import EventAnswer
from gateway.answers.knowledge import HitAnswer
from gateway.answers.memories import MEMORY_EXAMPLE, MemoryAnswer
from gateway.answers.people import LinkAnswer
from gateway.models.common import ADA

SectionName = Literal["profile", "memories", "knowledge", "messages"]
FoundBy = Literal["query", "importance"]


class SectionAnswer(TypedDict):
    """How many tokens a section has, by estimate, and how many items did not fit."""

    tokens: int
    left_out: int


class ProfileAnswer(SectionAnswer):
    """Who they are: as much of their metadata as fits, and their platform ids."""

    person_ids: list[str]
    metadata: dict[str, Any]
    links: list[LinkAnswer]


_FOUND = {**MEMORY_EXAMPLE, "score": 0.87, "found_by": ["query", "importance"]}


@with_config(example(_FOUND))
class FoundMemoryAnswer(MemoryAnswer):
    """A memory, and why it is here; the score is null where only its importance speaks for it."""

    score: float | None
    found_by: list[FoundBy]


class MemoriesSectionAnswer(SectionAnswer):
    """What is remembered, by turns the nearest to the query and the most important."""

    items: list[FoundMemoryAnswer]


class KnowledgeSectionAnswer(SectionAnswer):
    """What is known that is near the query, best first, each with what stands beside it."""

    items: list[HitAnswer]


class MessagesSectionAnswer(SectionAnswer):
    """The latest messages, oldest first."""

    items: list[EventAnswer]


class MissingAnswer(TypedDict):
    """What is not there, or not whole, and why."""

    section: SectionName
    reason: Literal["consent_denied", "unavailable", "timeout"]


@with_config(
    example(
        {
            "person_id": ADA,
            "token_budget": 1500,
            "tokens": 31,
            "profile": {
                "tokens": 12, "left_out": 0, "person_ids": [ADA], "metadata": {"name": "Ada"},
                "links": [],
            },
            "memories": {"tokens": 19, "left_out": 0, "items": [_FOUND]},
            "knowledge": {"tokens": 0, "left_out": 0, "items": []},
            "messages": {"tokens": 0, "left_out": 0, "items": []},
            "missing": [{"section": "messages", "reason": "consent_denied"}],
            "degraded": False,
            "text": None,
        }
    )
)  # fmt: skip
class ContextAnswer(TypedDict):
    """All of it, within the budget. `degraded` says that a service was away or too slow, or that
    knowledge was searched by words alone; `text` is null unless it was asked for.
    """

    person_id: str
    token_budget: int
    tokens: int
    profile: ProfileAnswer
    memories: MemoriesSectionAnswer
    knowledge: KnowledgeSectionAnswer
    messages: MessagesSectionAnswer
    missing: list[MissingAnswer]
    degraded: bool
    text: str | None
