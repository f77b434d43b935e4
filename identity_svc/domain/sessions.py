"""Onboarding sessions, and what can go wrong with them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

import orjson

from identity_svc.domain.people import Person
from svckit.errors import Conflict, FailedPrecondition, InvalidRequest, NotFound

DAY_MILLISECONDS = 86_400_000

State = Literal["open", "claimed", "expired"]


def _unguessable() -> str:
    # Not a UUIDv7, whose first half is the time: whoever knows the id may go on with the session.
    return str(uuid4())


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to create; `ttl_milliseconds` of None means a day."""

    data: Mapping[str, Any] = field(default_factory=dict)
    ttl_milliseconds: int | None = None
    session_id: str = field(default_factory=_unguessable)

    @property
    def body_hash(self) -> str:
        """What tells a repetition from another session under the same id."""
        body = [self.data, self.ttl_milliseconds]
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Session:
    """What an onboarding knows; `person_id` is who claimed it, as they are now."""

    session_id: str
    data: Mapping[str, Any]
    created_at: datetime
    expires_at: datetime
    state: State
    person_id: str | None
    claimed_at: datetime | None
    etag: str


@dataclass(frozen=True, slots=True)
class SessionCreated:
    """The outcome of creating a session; `created` says whether this call did."""

    session: Session
    created: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """A session that is claimed, and who has its data now."""

    session: Session
    person: Person


class SessionNotFound(NotFound):
    """There is no such session."""

    reason = "SESSION_NOT_FOUND"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"there is no session {session_id}", session_id=session_id)


class SessionExpired(FailedPrecondition):
    """Nobody claimed the session in time."""

    reason = "SESSION_EXPIRED"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id} has expired", session_id=session_id)


class SessionClaimed(FailedPrecondition):
    """The session was claimed; by whom is not the caller's business."""

    reason = "SESSION_CLAIMED"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id} was claimed", session_id=session_id)


class SessionEtagMismatch(Conflict):
    """The session has changed since the etag was read."""

    reason = "ETAG_MISMATCH"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"session {session_id} has changed since the etag was read", session_id=session_id
        )


class SessionConflict(Conflict):
    """The id is that of a session that was created with another body."""

    reason = "IDEMPOTENCY_CONFLICT"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"session {session_id} was created with another body", session_id=session_id
        )


class DataTooLarge(InvalidRequest):
    """A patch would make a session's data larger than it may be."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__("data", f"would be larger than {most_bytes} bytes after the change")
