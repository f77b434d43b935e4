"""Events: logging, reading and following them."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from gateway.models.common import QUERY, Page, body
from gateway.values import (
    Content,
    EventQueryText,
    MessageMetadata,
    Moment,
    PlatformId,
    Position,
    Reason,
    SessionId,
    Uuid,
    Word,
    wrong,
)
from svckit import ids

MOST_EVENTS = 1000
MOST_VALUES = 32
MOST_WAIT_SECONDS = 30
MOST_SEARCH_DAYS = 31

_EVENT = "3f0c5a52-5b0e-5d6a-8a3e-0d6a4f1b2c3d"


EVENTS: list[dict[str, Any]] = [
    {
        "event_type": "mood_check",
        "platform": "web",
        "platform_id": "ada@example.org",
        "content": {"score": 7, "note": "slept well"},
        "occurred_at": "2026-03-01T09:30:00Z",
    },
    {"event_type": "deploy", "platform": "ci", "content": {"version": "1.4.0"}},
]


class NewEvent(BaseModel):
    """Something that happened."""

    model_config = body(*EVENTS)

    event_id: Uuid | None = Field(
        default=None, description="The id to have. With one, a retry is the same event."
    )
    event_type: Word = Field(description="What happened, such as mood_check.")
    platform: Word = Field(description="Where it happened.")
    platform_id: PlatformId | None = Field(
        default=None,
        description="Whom it concerns, by their id on the platform; it must be known. "
        "In place of person_id and link_id.",
    )
    person_id: Uuid | None = Field(
        default=None, description="Whom it concerns; taken as it is, as link_id is."
    )
    link_id: Uuid | None = Field(default=None, description="Through which link it happened.")
    group_id: Uuid | None = Field(default=None, description="The group it happened in.")
    session_id: SessionId | None = Field(
        default=None, description="The conversation: a UUID, or any text of the platform."
    )
    content: Content = Field(default_factory=dict, description="What it says; at most 256 KiB.")
    metadata: MessageMetadata = Field(
        default_factory=dict, description="At most 16 KiB. The key `kith` is reserved."
    )
    occurred_at: Moment | None = Field(default=None, description="When; absent means now.")

    @model_validator(mode="after")
    def _names_a_person_once(self) -> Self:
        if self.platform_id is not None and (self.person_id or self.link_id):
            raise wrong("is not for an event with person_id or link_id", "platform_id")
        return self


class _Scope(BaseModel):
    """Which events, but for whose."""

    model_config = QUERY

    group_id: Uuid | None = Field(default=None, description="Of this group.")
    session_id: SessionId | None = Field(
        default=None, description="A conversation; one that is no UUID needs its one platform."
    )
    event_type: list[Word] = Field(
        default_factory=list, max_length=MOST_VALUES, description="Of any of these types."
    )
    platform: list[Word] = Field(
        default_factory=list, max_length=MOST_VALUES, description="On any of these platforms."
    )

    @model_validator(mode="after")
    def _session_has_a_platform(self) -> Self:
        if self.session_id and len(self.platform) != 1 and not ids.is_uuid(self.session_id):
            raise wrong("is required, once, where session_id is no UUID", "platform")
        return self


class _Range(BaseModel):
    """When events happened."""

    from_: Moment | None = Field(default=None, alias="from", description="Happened then or later.")
    to: Moment | None = Field(default=None, description="Happened before then.")


class TimelineQuery(_Scope, _Range, Page):
    """Which part of a past, in which order."""

    after: Position | None = Field(
        default=None,
        description="Only what was logged after this position, oldest first: `position` of the "
        "answer before, to follow the log.",
    )
    wait: int = Field(
        default=0, ge=0, le=MOST_WAIT_SECONDS,
        description="Seconds to wait for an event where there is none after `after`.",
    )  # fmt: skip
    order: Literal["asc", "desc"] | None = Field(
        default=None, description="desc: newest first, as it is without `after`."
    )

    @model_validator(mode="after")
    def _waits_at_the_end(self) -> Self:
        if self.wait and self.after is None:
            raise wrong("is only for a query with after", "wait")
        if self.wait and self.order == "desc":
            raise wrong("is not for order desc", "wait")
        if self.wait and self.page_token:
            raise wrong("is not for a query with page_token", "wait")
        return self

    @property
    def is_ascending(self) -> bool:
        """Whether the oldest come first."""
        return self.order == "asc" or (self.order is None and self.after is not None)


class EventsQuery(TimelineQuery):
    """Which events, in which order."""

    person_id: Uuid | None = Field(default=None, description="Of this person, by any of their ids.")


class TimelineStreamQuery(_Scope):
    """Which events to follow, from where on."""

    from_: Literal["beginning", "now"] | None = Field(
        default=None, alias="from", description="Where to begin; absent means now."
    )
    after: Position | None = Field(
        default=None, description="Begin with the first event after this position instead."
    )

    @model_validator(mode="after")
    def _begins_once(self) -> Self:
        if self.from_ and self.after is not None:
            raise wrong("is not for a query with from", "after")
        return self


class EventStreamQuery(TimelineStreamQuery):
    """Which events to follow, of everybody or of one person."""

    person_id: Uuid | None = Field(default=None, description="Of this person, by any of their ids.")


class EventSearchQuery(_Scope, _Range, Page):
    """What to look for in events, and where."""

    query: EventQueryText = Field(description="1 to 512 characters.", examples=["Lisbon"])
    mode: Literal["words", "substring"] = Field(
        default="words", description="Every word, in any order; or the text as it stands."
    )
    person_id: Uuid | None = Field(default=None, description="Of this person, by any of their ids.")

    @model_validator(mode="after")
    def _has_a_scope(self) -> Self:
        has_range = self.from_ is not None and self.to is not None
        if not (self.person_id or self.group_id or self.session_id or has_range):
            raise wrong("is required, or group_id, session_id, or both from and to", "person_id")
        return self

    @model_validator(mode="after")
    def _is_not_too_wide(self) -> Self:
        if self.person_id or self.group_id or self.session_id or not (self.from_ and self.to):
            return self
        if self.to - self.from_ > timedelta(days=MOST_SEARCH_DAYS):
            raise wrong(f"is more than {MOST_SEARCH_DAYS} days after from", "to")
        return self


class StatsQuery(BaseModel):
    """What to count."""

    model_config = QUERY

    from_: Moment | None = Field(
        default=None, alias="from",
        description="Logged then or later. Absent: 24 hours, 30 days, 26 weeks or 24 months "
        "before `to`, as the bucket is.",
    )  # fmt: skip
    to: Moment | None = Field(default=None, description="Logged before then; absent means now.")
    bucket: Literal["hour", "day", "week", "month"] = Field(
        default="day", description="In UTC; a week begins on Monday."
    )
    event_type: list[Word] = Field(default_factory=list, max_length=MOST_VALUES)
    platform: list[Word] = Field(default_factory=list, max_length=MOST_VALUES)
    by: list[Literal["event_type", "platform"]] = Field(
        default_factory=list, max_length=2, description="What to tell apart."
    )


class Redaction(BaseModel):
    """Events whose content and metadata are to go, for good."""

    model_config = body({"event_ids": [_EVENT], "reason": "asked for by the sender"})

    event_ids: Annotated[list[Uuid], Field(min_length=1, max_length=MOST_EVENTS)]
    reason: Reason = Field(
        description="Why: 1 to 256 characters. Kept with each event, so it must not tell what "
        "is taken away."
    )


class NewProjection(BaseModel):
    """Running aggregates to keep: of a number in events, by subject and by a key."""

    model_config = body(
        {
            "name": "mood",
            "event_types": ["mood_check"],
            "value_path": ["score"],
            "key_path": ["topic"],
        }
    )

    name: Word
    event_types: Annotated[list[Word], Field(min_length=1, max_length=MOST_VALUES)] = Field(
        description="Which events count."
    )
    value_path: Annotated[list[PlatformId], Field(min_length=1, max_length=8)] = Field(
        description="Where the number stands in `content`: names from the outside in."
    )
    key_path: Annotated[list[PlatformId], Field(max_length=8)] = Field(
        default_factory=list, description="Where the key stands; none means one key for all."
    )


class ProjectionValuesQuery(Page):
    """Which aggregates of a person."""

    key: str | None = Field(default=None, max_length=256, description="Of this key alone.")
