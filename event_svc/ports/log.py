"""What the event service needs from outside, and what it may rely on."""

from collections.abc import Sequence
from typing import Protocol

from event_svc.domain.log import (
    Append,
    Event,
    EventFilter,
    EventPage,
    LoggedEvent,
    Refusal,
)


class EventStore(Protocol):
    """The log: it only grows, and the order of positions is the order of commits.

    Whoever sees an event sees every event with a lower position.
    """

    async def append(self, requests: Sequence[Append]) -> list[list[LoggedEvent] | Refusal]:
        """Log the events of independent requests in order; one outcome for each.

        Of each request all events are in the log afterwards, or none of its new ones.
        An id that is known keeps its first place: a duplicate where the body is the same
        (or erased), else the IdempotencyConflict of its whole request. A new event whose
        person or link was erased is the SubjectErased of its whole request. Positions of
        one call are dense; a call without new events writes nothing.
        Raises InvalidRequest where an id occurs twice, and Unavailable where somebody
        holds the log for too long.
        """
        ...

    async def get(self, event_id: str) -> Event:
        """One event; raises EventNotFound."""
        ...

    async def page(
        self, chosen: EventFilter, *, after: int = 0, before: int | None = None,
        descending: bool = False, limit: int,
    ) -> EventPage:  # fmt: skip
        """Up to `limit` events with `after` < position < `before`, in order of position.

        It looks at a bounded part of the log, and returns a bounded number of bytes: a page
        with fewer events, or none, may say `more`. Everything from where it began to
        `scanned_position` has been looked at, and the next page goes on from there; if no
        more follow, that is the end of the log as of the same moment (in descending order 0).
        """
        ...

    async def ensure_partitions(self, days_ahead: int) -> Sequence[str]:
        """Have the partitions of today and of the next days; answers the new ones' names."""
        ...
