"""Answers about onboarding sessions."""

from typing import Any, Literal

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import ETAG, SESSION, TIME, example
from gateway.answers.people import PERSON_EXAMPLE, PersonAnswer
from gateway.models.common import ADA

_SESSION: dict[str, Any] = {
    "session_id": SESSION,
    "data": {"locale": "pt"},
    "state": "open",
    "created_at": TIME,
    "expires_at": "2026-03-01T10:30:00Z",
    "person_id": None,
    "claimed_at": None,
    "etag": ETAG,
}


@with_config(example(_SESSION))
class SessionAnswer(TypedDict):
    """What an onboarding knows; `person_id` is null until somebody claims it."""

    session_id: str
    data: dict[str, Any]
    state: Literal["open", "claimed", "expired"]
    created_at: str | None
    expires_at: str | None
    person_id: str | None
    claimed_at: str | None
    etag: str


_CLAIMED = {**_SESSION, "state": "claimed", "person_id": ADA, "claimed_at": TIME}


@with_config(example({"session": _CLAIMED, "person": PERSON_EXAMPLE}))
class ClaimAnswer(TypedDict):
    """The session, claimed, and the person with its data."""

    session: SessionAnswer
    person: PersonAnswer
