"""Files, and what is said of them."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.models.common import ADA, QUERY, Page, ensure_platform
from gateway.values import (
    FileName,
    JsonText,
    Key,
    MediaType,
    Moment,
    PlatformId,
    SessionId,
    Sha256,
    Uuid,
    Word,
    wrong,
)

State = Literal["pending", "running", "succeeded", "failed"]


class DocumentForm(BaseModel):
    """The fields of an upload, which come before the file; all are text."""

    model_config = ConfigDict(
        extra="forbid", frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "person_id": ADA, "namespace": "transcripts", "key": "session-12",
                    "metadata": '{"coach": "Grace"}', "occurred_at": "2026-03-01T09:30:00Z",
                }
            ]
        },
    )  # fmt: skip

    person_id: Uuid | None = Field(default=None, description="Whose it is; or, in place of that:")
    platform: Word | None = Field(default=None, description="Where it comes from.")
    sender_id: PlatformId | None = Field(
        default=None, description="Whose it is, by their id on the platform; it must be known."
    )
    group_id: Uuid | None = None
    session_id: SessionId | None = Field(
        default=None, description="A conversation; one that is no UUID needs its platform."
    )
    namespace: Word | None = Field(default=None, description="The shelf; absent: `default`.")
    key: Key | None = Field(
        default=None,
        description="The name under which new bytes are a new version; at most 512 bytes.",
    )
    filename: FileName | None = Field(
        default=None, description="In place of the name that comes with the file."
    )
    media_type: MediaType | None = Field(
        default=None, description="In place of the type that comes with the file."
    )
    metadata: JsonText = Field(default_factory=dict, description="A JSON object, at most 16 KiB.")
    occurred_at: Moment | None = Field(default=None, description="When it was written.")
    sha256: Sha256 | None = Field(
        default=None, description="Of the bytes, in hex; others are refused."
    )

    @model_validator(mode="after")
    def _says_whose_once(self) -> Self:
        if self.sender_id and not self.platform:
            raise wrong("is required beside sender_id", "platform")
        if self.sender_id and self.person_id:
            raise wrong("is not for a document with person_id", "sender_id")
        return self

    @model_validator(mode="after")
    def _session_has_a_platform(self) -> Self:
        ensure_platform(self.session_id, self.platform)
        return self


class DocumentsQuery(Page):
    """Which documents."""

    person_id: Uuid | None = Field(default=None, description="Of this person, by any of their ids.")
    group_id: Uuid | None = None
    session_id: SessionId | None = Field(
        default=None, description="A conversation; one that is no UUID needs its platform."
    )
    platform: Word | None = None
    namespace: list[Word] = Field(default_factory=list, max_length=32)
    key: Key | None = None
    state: State | None = Field(default=None, description="How far their text is.")
    include_earlier_versions: bool = False
    from_: Moment | None = Field(default=None, alias="from", description="Written then or later.")
    to: Moment | None = Field(default=None, description="Written before then.")
    filter: JsonText = Field(
        default_factory=dict, description="A JSON object over metadata: equal key by key."
    )

    @model_validator(mode="after")
    def _session_has_a_platform(self) -> Self:
        ensure_platform(self.session_id, self.platform)
        return self


class ContentQuery(BaseModel):
    """How a file is asked for by somebody who has a link."""

    model_config = QUERY

    signature: str | None = Field(
        default=None, min_length=1, max_length=512, description="Out of a link to the file."
    )


class UrlQuery(BaseModel):
    """What link."""

    model_config = QUERY

    seconds: int = Field(default=3600, ge=1, le=604_800, description="For how long it serves.")
