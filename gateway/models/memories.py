"""Memories: single facts about people, by key."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from gateway.models.common import QUERY, IndexTokens, Page, body
from gateway.values import (
    Category,
    MemoryKey,
    MemoryText,
    Metadata,
    Moment,
    SearchText,
    Uuid,
    wrong,
)

MOST_MEMORIES = 100
MOST_CATEGORIES = 32

_RAMEN: dict[str, Any] = {
    "value": "ramen with a soft egg",
    "category": "preference",
    "importance": 0.7,
}


class MemoryValue(BaseModel):
    """What is to be remembered under a key from now on."""

    model_config = body(_RAMEN)

    value: MemoryText
    category: Category = Field(default="", description="The app's sort for it; may be empty.")
    importance: float | None = Field(
        default=None, ge=0, le=1,
        description="How much it matters; left out, it stays, or is 0.5 for a new memory.",
    )  # fmt: skip
    metadata: Metadata = Field(default_factory=dict, description="At most 16 KiB.")
    source_event_id: Uuid | None = Field(default=None, description="The event it was told in.")
    occurred_at: Moment | None = Field(default=None, description="When it was told; else now.")


class NewMemory(MemoryValue):
    """One thing to remember, and what it is about."""

    model_config = body({"key": "favourite_food", **_RAMEN})

    key: MemoryKey = Field(description="What it is about: any text, without control characters.")


class NewMemories(BaseModel):
    """Things to remember of one person, all or none."""

    model_config = body({"memories": [{"key": "favourite_food", **_RAMEN}]})

    memories: Annotated[list[NewMemory], Field(min_length=1, max_length=MOST_MEMORIES)]

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        seen: set[str] = set()
        for place, memory in enumerate(self.memories):
            if memory.key in seen:
                raise wrong("is there twice", f"memories[{place}].key")
            seen.add(memory.key)
        return self


class MemoriesQuery(Page):
    """Which memories, and what they go by."""

    category: Annotated[list[Category], Field(max_length=MOST_CATEGORIES)] = Field(
        default_factory=list, description="Of any of these categories."
    )
    min_importance: float = Field(default=0, ge=0, le=1)
    exclude_shadowed: bool = Field(
        default=False,
        description="Leave out what somebody's memory of the same key counts in place of.",
    )
    order: Literal["key", "importance", "updated", "accessed"] = Field(
        default="key", description="By key, or the most important, last changed, last read first."
    )


class Forgetting(BaseModel):
    """How much is forgotten."""

    model_config = QUERY

    purge: bool = Field(default=False, description="Whether the history goes too.")


class MemorySearch(BaseModel):
    """What to look for among the memories of a person."""

    model_config = body({"query": "What does she like to eat?", "limit": 5})

    query: SearchText
    categories: Annotated[list[Category], Field(max_length=MOST_CATEGORIES)] = Field(
        default_factory=list, description="Of any of these categories."
    )
    exclude_shadowed: bool = False
    limit: int = Field(default=10, ge=1, le=100)
    at_least: IndexTokens = Field(
        default_factory=list,
        description="Index tokens of writes that must be searched, one or a list.",
    )
