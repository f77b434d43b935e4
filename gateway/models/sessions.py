"""Onboarding sessions: what is known before there is a person."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from gateway.models.common import ADA, body
from gateway.values import Metadata, Token, Uuid, wrong

Seconds = Annotated[int, Field(ge=60, le=30 * 86_400)]


class NewSession(BaseModel):
    """A session to begin."""

    model_config = body({"data": {"locale": "pt"}, "ttl_seconds": 3600})

    session_id: Uuid | None = Field(
        default=None,
        description="The id to have, hard to guess: whoever knows it may go on with the session. "
        "With one, a retry is the same request.",
    )
    data: Metadata = Field(default_factory=dict, description="At most 16 KiB.")
    ttl_seconds: Seconds | None = Field(
        default=None, description="How long it lasts: a minute to 30 days; absent means a day."
    )


class SessionPatch(BaseModel):
    """A change of a session."""

    model_config = body({"data": {"name": "Ada"}})

    data: Metadata | None = Field(
        default=None, description="A JSON merge patch (RFC 7396); absent leaves it."
    )
    ttl_seconds: Seconds | None = Field(
        default=None, description="How long it lasts from now on; absent leaves it."
    )
    etag: Token | None = Field(
        default=None,
        description="Change only if the session still has this etag; If-Match does the same.",
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.data is None and self.ttl_seconds is None:
            raise wrong("is required, or ttl_seconds", "data")
        return self


class Claim(BaseModel):
    """Whose a session is."""

    model_config = body({"person_id": ADA})

    person_id: Uuid = Field(description="Who gets its data, by JSON merge patch of their metadata.")
