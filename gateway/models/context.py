"""What a prompt needs."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from gateway.models.common import ADA, IndexTokens, body, ensure_platform
from gateway.values import PlatformId, SearchText, SessionId, Uuid, Word, wrong

MOST_TOKENS = 200_000


class ContextRequest(BaseModel):
    """Of whom, what about, and how much."""

    model_config = body(
        {"person_id": ADA, "query": "What shall we eat tonight?", "token_budget": 1500},
        {
            "platform": "telegram",
            "sender_id": "42",
            "query": "What shall we eat tonight?",
            "render": "markdown",
        },
    )

    person_id: Uuid | None = Field(default=None, description="Of whom; or:")
    platform: Word | None = Field(default=None, description="Where `sender_id` is theirs.")
    sender_id: PlatformId | None = None
    query: SearchText = Field(description="What is asked or talked about now.")
    token_budget: int = Field(
        default=2000, ge=1, le=MOST_TOKENS,
        description="How many tokens, by estimate, the whole text may have.",
    )  # fmt: skip
    session_id: SessionId | None = Field(
        default=None,
        description="The latest messages of this conversation alone; one that is no UUID needs "
        "its platform.",
    )
    namespaces: Annotated[list[Word], Field(max_length=32)] = Field(
        default_factory=list, description="Knowledge of these alone."
    )
    render: Literal["none", "markdown"] = Field(
        default="none", description="Whether `text` holds it all, ready for a prompt."
    )
    at_least: IndexTokens = Field(
        default_factory=list,
        description="Index tokens of writes that must be searched, one or a list.",
    )

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if self.person_id is None:
            if self.sender_id is None:
                raise wrong("is required, or platform and sender_id", "person_id")
            if self.platform is None:
                raise wrong("is required with sender_id", "platform")
        elif self.sender_id is not None:
            raise wrong("is not for both; leave out sender_id", "person_id")
        ensure_platform(self.session_id, self.platform)
        return self
