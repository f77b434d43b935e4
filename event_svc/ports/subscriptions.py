"""What subscriptions need from outside."""

from collections.abc import Callable
from typing import Protocol

from event_svc.domain.log import EventFilter
from event_svc.domain.subscriptions import LogBounds, Stretch


class LogHistory(Protocol):
    """The log as those read it who must not miss anything."""

    async def bounds(self) -> LogBounds:
        """Where the log ends and begins, as of some moment during the call."""
        ...

    async def read(self, chosen: EventFilter, *, after: int, limit: int) -> Stretch:
        """The next of the chosen events after a position, at most `limit`, in order.

        Nothing that was ever committed between `after` and `scanned_position` is left out:
        where retention took some of it, this raises PositionExpired. Raises BeyondTheLog for
        a position that the log has not reached. It may look at a bounded part of the log
        only, and then answers no event although there are some further on.
        """
        ...


class WakeUps(Protocol):
    """Hints that something was logged: one may be lost, come late, or for nothing."""

    def on_notice(self, callback: Callable[[str], None]) -> None:
        """Call back, with a payload that means nothing, when something may have been logged."""
        ...

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call back when hints may have been lost."""
        ...

    @property
    def proved_at(self) -> float:
        """When hints were last seen to arrive, by the loop's clock; -inf if they do not."""
        ...
