"""People: who they are, their links, merges and consent."""

from typing import Self

from pydantic import BaseModel, Field, model_validator

from gateway.models.common import MOST_PURPOSES, QUERY, Page, Purposes, body
from gateway.values import (
    Code,
    JsonText,
    Metadata,
    Moment,
    Note,
    PlatformId,
    Token,
    Uuid,
    Word,
    wrong,
)

_GRACE = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f40"


class Registration(BaseModel):
    """Somebody to know by a platform id."""

    model_config = body(
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
    consent: Purposes = Field(
        default_factory=dict,
        max_length=MOST_PURPOSES,
        description="Decisions by purpose: messages, knowledge, analytics, or one of the app's. "
        "For somebody known already they decide only purposes that were never decided.",
    )


class Account(BaseModel):
    """A platform id to ask about."""

    model_config = QUERY

    platform: Word = Field(examples=["telegram"])
    platform_id: PlatformId = Field(examples=["42"])


class NewPerson(BaseModel):
    """Somebody to know without a platform id."""

    model_config = body({"metadata": {"name": "Ada"}, "consent": {"messages": "granted"}})

    person_id: Uuid | None = Field(
        default=None, description="The id to have. With one, a retry is the same request."
    )
    metadata: Metadata = Field(default_factory=dict, description="At most 16 KiB.")
    consent: Purposes = Field(
        default_factory=dict, max_length=MOST_PURPOSES, description="Decisions by purpose."
    )


class PersonsQuery(Page):
    """Which people."""

    platform: Word | None = Field(default=None, description="Who have an open link there.")
    metadata: JsonText = Field(
        default_factory=dict,
        description="A JSON object that their metadata contains, as text.",
        examples=['{"name": "Ada"}'],
    )
    seen_from: Moment | None = Field(default=None, description="Last seen then or later.")
    seen_to: Moment | None = Field(default=None, description="Last seen before then.")


class PersonPatch(BaseModel):
    """A change of a person, by JSON merge patch (RFC 7396)."""

    model_config = body({"metadata": {"name": "Ada Lovelace", "nickname": None}})

    metadata: Metadata = Field(
        description="Null removes a key, objects are merged, all else replaces."
    )
    etag: Token | None = Field(
        default=None,
        description="Change only if the person still has this etag; If-Match does the same.",
    )


class NewLink(BaseModel):
    """One more platform id of a person."""

    model_config = body(
        {
            "platform": "whatsapp",
            "platform_id": "351910000000",
            "verified": True,
            "verification_method": "oauth",
        }
    )

    platform: Word
    platform_id: PlatformId
    verified: bool = Field(
        default=False,
        description="Whether there is proof that the id is theirs. With it, a holder who was "
        "registered, and not created by the app, is merged into the person.",
    )
    verification_method: Word | None = Field(
        default=None, description="What the proof is; only with `verified`."
    )

    @model_validator(mode="after")
    def _method_is_of_a_proof(self) -> Self:
        if self.verification_method and not self.verified:
            raise wrong("is only for a link that is verified", "verification_method")
        return self


class NewVerification(BaseModel):
    """A platform id that somebody says is theirs."""

    model_config = body({"platform": "whatsapp", "platform_id": "351910000000"})

    platform: Word
    platform_id: PlatformId


class Confirmation(BaseModel):
    """The code that came back from the platform."""

    model_config = body({"code": "K7QX 2MPA"})

    code: Code = Field(description="As the person gave it; case and spaces do not matter.")


class MergeRequest(BaseModel):
    """Who turned out to be this person."""

    model_config = body({"source_person_id": _GRACE, "reason": "told us"})

    source_person_id: Uuid = Field(description="Who becomes an alias of the person in the path.")
    reason: Note = Field(default="", description="Why; at most 256 characters.")


class UnmergeRequest(BaseModel):
    """Which merge to undo."""

    model_config = body({"source_person_id": _GRACE})

    source_person_id: Uuid | None = Field(
        default=None, description="Whose merge: who became an alias."
    )
    merge_id: Uuid | None = Field(default=None, description="Or the merge itself.")

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.source_person_id is None) == (self.merge_id is None):
            raise wrong("is required, or merge_id; not both", "source_person_id")
        return self


class ConsentPatch(BaseModel):
    """Decisions; purposes that are not named stay as they are."""

    model_config = body({"purposes": {"analytics": "denied"}, "source": "settings page"})

    purposes: Purposes = Field(
        min_length=1, max_length=MOST_PURPOSES, description="Decisions by purpose."
    )
    source: Note = Field(
        default="", description="Where the decision was made; at most 256 characters."
    )


class ConsentHistoryQuery(Page):
    """Which decisions."""

    purpose: Word | None = Field(default=None, description="On this purpose alone.")
