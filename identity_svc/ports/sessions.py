"""What identity needs from outside for onboarding: a store of sessions."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from identity_svc.domain.sessions import Claimed, NewSession, Session, SessionCreated


class SessionCounts(NamedTuple):
    """How many sessions there are that nobody claimed."""

    open: int
    expired: int


class SessionStore(Protocol):
    """Onboarding sessions, which expire by the store's own clock.

    Every method may be repeated with the same arguments, and answers as it did the first
    time.
    """

    async def create(self, session: NewSession, *, call_id: str) -> SessionCreated:
        """Create a session, or answer the one that is there.

        Raises SessionConflict where the id was used with another body.
        """
        ...

    async def get(self, session_id: str) -> Session:
        """One session, an expired one until it is swept; raises SessionNotFound."""
        ...

    async def update(
        self,
        session_id: str,
        patch: Mapping[str, Any],
        *,
        ttl_milliseconds: int | None,
        etag: str | None,
        new_etag: str,
    ) -> Session:
        """Apply a JSON merge patch to an open session's data.

        It lasts `ttl_milliseconds` from now on, unless that is None. A change that changes
        nothing keeps the etag. Raises SessionNotFound, SessionExpired, SessionClaimed,
        SessionEtagMismatch and DataTooLarge.
        """
        ...

    async def claim(self, session_id: str, person_id: str, *, new_etag: str) -> Claimed:
        """Give a session's data to a person, by JSON merge patch of their metadata.

        However many claim it at once, one person gets it, all of it or nothing. A person
        who has claimed it, by any of their ids, is answered again. Raises SessionNotFound,
        PersonNotFound, SessionExpired, SessionClaimed, PersonErasing and MetadataTooLarge.
        """
        ...

    async def sweep(self, *, limit: int) -> int:
        """Delete up to `limit` that expired a day ago and nobody claimed; answers how many."""
        ...

    async def count(self) -> SessionCounts:
        """How many there are that nobody claimed."""
        ...
