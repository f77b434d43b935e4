"""The bodies and queries of requests: the HTTP contract, and the OpenAPI document of it.

Types are exact (no text for a number), and fields that are not here are refused, so that a
slip in a client is an error and not a silence.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.values import (
    Conditions,
    MessageMetadata,
    Metadata,
    Moment,
    PlatformId,
    SearchText,
    SessionId,
    Text,
    Token,
    Uuid,
    Word,
    wrong,
)
from svckit import ids

MOST_MESSAGES = 1000

ADA = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f30"


MESSAGES: list[dict[str, Any]] = [
    {
        "platform": "discord",
        "sender_id": "81384788765712384",
        "text": "I moved to Lisbon last week, and I love it.",
        "message_id": "1199",
        "session_id": "channel-7",
        "timestamp": "2026-03-01T09:30:00Z",
        "metadata": {"mood": "happy"},
    },
    {
        "platform": "discord",
        "sender_id": "my-bot",
        "role": "assistant",
        "to_sender_id": "81384788765712384",
        "text": "Lisbon! Do you live near the river?",
        "message_id": "1200",
        "session_id": "channel-7",
    },
]


def _example(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(
        extra="forbid", strict=True, frozen=True, json_schema_extra={"examples": list(examples)}
    )


class Registration(BaseModel):
    """Somebody to know by a platform id."""

    model_config = _example(
        {
            "platform": "telegram",
            "platform_id": "42",
            "metadata": {"name": "Ada"},
            "consent": {"messages": "granted", "knowledge": "granted", "analytics": "denied"},
        }
    )

    platform: Word = Field(description="Such as discord, telegram, whatsapp, web.")
    platform_id: PlatformId = Field(description="The person's id there.")
    metadata: Metadata = Field(
        default_factory=dict, description="Kept if this call creates the person; at most 16 KiB."
    )
    consent: dict[Word, Literal["granted", "denied", "unset"]] = Field(
        default_factory=dict,
        max_length=64,
        description="Decisions by purpose: messages, knowledge, analytics, or one of the app's. "
        "For somebody known already they fill only purposes that are unset.",
    )


class Message(BaseModel):
    """Something that was said."""

    model_config = _example(*MESSAGES)

    platform: Word = Field(description="Where it was said.")
    sender_id: PlatformId = Field(description="Who said it, by their id there.")
    text: Text = Field(description="What was said, kept verbatim; at most 32 KiB.")
    role: Literal["user", "assistant"] = Field(
        default="user", description="Whether a person said it, or a bot said it to one."
    )
    to_sender_id: PlatformId | None = Field(
        default=None, description="For role assistant: the person it was said to."
    )
    timestamp: Moment | None = Field(default=None, description="When; absent means now.")
    message_id: PlatformId | None = Field(
        default=None, description="The platform's id of it. With one, a retry is the same message."
    )
    session_id: SessionId | None = Field(
        default=None, description="The conversation: a UUID, or any text of the platform."
    )
    group_id: Uuid | None = Field(default=None, description="The group it was said in.")
    metadata: MessageMetadata = Field(
        default_factory=dict,
        description="Kept with the message and with the knowledge made from it; at most 16 KiB. "
        "The key `kith` is reserved.",
    )
    store_as_knowledge: bool | None = Field(
        default=None, description="Whether it is worth knowing; absent leaves that to the rules."
    )

    @model_validator(mode="after")
    def _is_addressed(self) -> Self:
        if self.role == "assistant" and self.to_sender_id is None:
            raise wrong("is required for role assistant", "to_sender_id")
        if self.role == "user" and self.to_sender_id is not None:
            raise wrong("is only for role assistant", "to_sender_id")
        return self


class PersonPatch(BaseModel):
    """A change of a person, by JSON merge patch (RFC 7396)."""

    model_config = _example({"metadata": {"name": "Ada Lovelace", "nickname": None}})

    metadata: Metadata = Field(
        description="Null removes a key, objects are merged, all else replaces."
    )
    etag: Token | None = Field(
        default=None,
        description="Change only if the person still has this etag; If-Match does the same.",
    )


class NewLink(BaseModel):
    """One more platform id of a person."""

    model_config = _example({"platform": "whatsapp", "platform_id": "351910000000"})

    platform: Word
    platform_id: PlatformId
    verified: bool = Field(
        default=False, description="Whether there is proof that the id is theirs."
    )


class Search(BaseModel):
    """What to look for, and where."""

    model_config = _example(
        {
            "query": "Where does she live?",
            "person_id": ADA,
            "filter": {"mood": "happy"},
            "limit": 5,
        }
    )

    query: SearchText
    mode: Literal["hybrid", "semantic", "keyword"] = "hybrid"
    person_id: Uuid | None = Field(default=None, description="Only what belongs to this person.")
    group_id: Uuid | None = None
    session_id: SessionId | None = Field(
        default=None, description="A conversation; one that is no UUID needs its platform."
    )
    platform: Word | None = None
    namespaces: Annotated[list[Word], Field(max_length=32)] = Field(default_factory=list)
    from_: Moment | None = Field(default=None, alias="from", description="Said then or later.")
    to: Moment | None = Field(default=None, description="Said before then.")
    filter: Conditions = Field(
        default_factory=dict, description="Over item metadata: each key has an equal value."
    )
    limit: int = Field(default=10, ge=1, le=100)
    at_least: Annotated[
        list[Token],
        BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
        Field(max_length=100),
    ] = Field(
        default_factory=list,
        description="Index tokens of writes that must be searched, one or a list: the search "
        "waits for them, and says which are still pending.",
        json_schema_extra={"anyOf": [{"type": "string"}, {"items": {"type": "string"}}]},
    )

    @model_validator(mode="after")
    def _session_has_a_platform(self) -> Self:
        if self.session_id and not self.platform and not ids.is_uuid(self.session_id):
            raise wrong("is required where session_id is no UUID", "platform")
        return self


class Page(BaseModel):
    """Which page of a list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page_size: int = Field(
        default=50, ge=0, description="At most this many; 0 means 50, too many means the most."
    )
    page_token: str = Field(
        default="", max_length=2048, description="`next_page_token` of the page before."
    )


class TimelineQuery(Page):
    """Which part of a person's past, in which order."""

    order: Literal["asc", "desc"] = Field(default="desc", description="desc: newest first.")
    event_type: list[Word] = Field(default_factory=list, max_length=32)
    platform: list[Word] = Field(default_factory=list, max_length=32)
    from_: Moment | None = Field(default=None, alias="from", description="Happened then or later.")
    to: Moment | None = Field(default=None, description="Happened before then.")
    session_id: SessionId | None = Field(
        default=None, description="A conversation; one that is no UUID needs its one platform."
    )

    @model_validator(mode="after")
    def _session_has_a_platform(self) -> Self:
        if self.session_id and len(self.platform) != 1 and not ids.is_uuid(self.session_id):
            raise wrong("is required, once, where session_id is no UUID", "platform")
        return self


class Account(BaseModel):
    """A platform id to ask about."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    platform: Word = Field(examples=["telegram"])
    platform_id: PlatformId = Field(examples=["42"])
