"""Messages."""

from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from gateway.models.common import QUERY, body
from gateway.values import (
    MessageMetadata,
    Moment,
    PlatformId,
    SessionId,
    Text,
    Uuid,
    Word,
    wrong,
)

MOST_MESSAGES = 1000

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


class Message(BaseModel):
    """Something that was said."""

    model_config = body(*MESSAGES)

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


class MessageEdit(BaseModel):
    """What a message says from now on."""

    model_config = body(
        {
            "text": "I moved to Lisbon last month, and I love it.",
            "edit_id": "1199:2",
            "timestamp": "2026-03-01T09:32:00Z",
        },
        {"text": "I moved to Porto.", "metadata": {"mood": "calm"}},
    )

    text: Text = Field(description="What it says now, kept verbatim; at most 32 KiB.")
    edit_id: PlatformId | None = Field(
        default=None,
        description="The platform's id of the edit, or its number: with one, a retry is the same "
        "edit.",
    )
    timestamp: Moment | None = Field(
        default=None,
        description="When it was edited; absent means now. Which edit counts is decided by the "
        "log's order alone.",
    )
    metadata: MessageMetadata | None = Field(
        default=None,
        description="Takes the place of the message's, at most 16 KiB; absent leaves it. The key "
        "`kith` is reserved; members that are null are left out of the knowledge.",
    )


class MessageDeletion(BaseModel):
    """How a message is deleted."""

    model_config = QUERY

    edit_id: PlatformId | None = Field(
        default=None,
        description="The platform's id of the deletion: with one, a retry is the same deletion.",
    )
    timestamp: Moment | None = Field(
        default=None, description="When it was deleted; absent means now."
    )
