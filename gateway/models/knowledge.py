"""What is known, as clients hand it in, change it and ask for it."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from gateway.models.common import ADA, QUERY, Page, body, ensure_platform
from gateway.values import (
    Metadata,
    Moment,
    PlatformId,
    SessionId,
    Text,
    Token,
    Uuid,
    Word,
    wrong,
)


class NewKnowledge(BaseModel):
    """Something to know."""

    model_config = body(
        {
            "content": "She is allergic to peanuts.",
            "namespace": "profiles",
            "person_id": ADA,
            "metadata": {"certain": True},
        },
        {
            "content": "Prefers to be called in the evening.",
            "platform": "discord",
            "platform_id": "81384788765712384",
        },
    )

    content: Text = Field(description="What is known, kept verbatim; at most 32 KiB.")
    namespace: Word = Field(default="default", description="The shelf; made by its first use.")
    metadata: Metadata = Field(default_factory=dict, description="At most 16 KiB.")
    knowledge_id: Uuid | None = Field(
        default=None, description="The id to have. With one, a retry is the same request."
    )
    person_id: Uuid | None = Field(default=None, description="Whom it is about.")
    platform_id: PlatformId | None = Field(
        default=None, description="In place of person_id: their id on `platform`."
    )
    platform: Word | None = None
    group_id: Uuid | None = None
    session_id: SessionId | None = Field(
        default=None, description="A conversation; one that is no UUID needs its platform."
    )
    occurred_at: Moment | None = Field(
        default=None, description="When it became known; absent means now."
    )

    @model_validator(mode="after")
    def _is_about_one(self) -> Self:
        if self.platform_id is not None and self.person_id is not None:
            raise wrong("is not allowed beside person_id", "platform_id")
        if self.platform_id is not None and self.platform is None:
            raise wrong("is required where platform_id is given", "platform")
        ensure_platform(self.session_id, self.platform)
        return self


class KnowledgePatch(BaseModel):
    """A change of an item."""

    model_config = body(
        {"content": "She is allergic to peanuts and cashews.", "metadata": {"certain": None}}
    )

    content: Text | None = Field(default=None, description="Absent leaves it.")
    metadata: Metadata | None = Field(
        default=None, description="A JSON merge patch (RFC 7396); absent leaves it."
    )
    etag: Token | None = Field(
        default=None,
        description="Change only if the item still has this etag; If-Match does the same.",
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.content is None and self.metadata is None:
            raise wrong("is required, or metadata", "content")
        return self


class KnowledgeQuery(Page):
    """Which items."""

    person_id: Uuid | None = Field(default=None, description="Only what belongs to this person.")
    group_id: Uuid | None = None
    session_id: SessionId | None = Field(
        default=None, description="A conversation; one that is no UUID needs its platform."
    )
    platform: Word | None = None
    namespace: Annotated[list[Word], Field(max_length=32)] = Field(default_factory=list)
    from_: Moment | None = Field(default=None, alias="from", description="Said then or later.")
    to: Moment | None = Field(default=None, description="Said before then.")

    @model_validator(mode="after")
    def _session_has_a_platform(self) -> Self:
        ensure_platform(self.session_id, self.platform)
        return self


class NamespacesQuery(Page):
    """Which shelves."""

    model_config = QUERY

    person_id: Uuid | None = Field(
        default=None, description="Only what belongs to this person is counted."
    )
