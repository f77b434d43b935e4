"""Looking for words and texts in the log."""

from collections.abc import Sequence
from typing import Protocol

from event_svc.domain.log import EventFilter, EventPage


class SearchStore(Protocol):
    """The log, as far as its texts can be searched."""

    async def search(
        self, chosen: EventFilter, patterns: Sequence[str], *, before: int | None, limit: int
    ) -> EventPage:
        """Up to `limit` events at positions before one, the newest first, whose texts match.

        `patterns` are regular expressions, and all have to match the texts in an event's
        content. It looks at a bounded part of the log: a page with fewer events, or none,
        may say `more`. The next is before its `scanned_position`.
        """
        ...
