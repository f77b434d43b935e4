"""Questions about the index, and changes of it."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from gateway.models.common import QUERY, Page, body
from gateway.values import Uuid, Word, wrong


class Reindex(BaseModel):
    """What to build."""

    model_config = body({"documents": False})

    documents: bool = Field(
        default=False,
        description="Read documents again whose pieces another chunker made, in place of "
        "building a space.",
    )


class CutOver(BaseModel):
    """Which space is to serve."""

    model_config = body({"space": "voyage_4_1024_whole_1"})

    space: Word


class DeadLettersQuery(Page):
    """Which of what was given up."""

    model_config = QUERY

    namespace: Annotated[list[Word], Field(max_length=32)] = Field(default_factory=list)


class Replay(BaseModel):
    """What is to be tried again."""

    model_config = body({"knowledge_ids": ["0192d3a4-8e2f-7c63-a021-6b1d7e2f3041"]}, {"all": True})

    knowledge_ids: Annotated[list[Uuid], Field(max_length=1_000)] = Field(default_factory=list)
    all: bool = Field(default=False, description="All of them, in place of knowledge_ids.")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if self.all and self.knowledge_ids:
            raise wrong("must be empty where all is set", "knowledge_ids")
        if not self.all and not self.knowledge_ids:
            raise wrong("is required, or all", "knowledge_ids")
        return self
