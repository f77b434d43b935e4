"""What retention takes away."""

from collections.abc import Sequence
from dataclasses import dataclass

MOST_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the log, `2026-11-21`, in UTC, and how many events it has."""

    day: str
    events: int


@dataclass(frozen=True, slots=True)
class Retained:
    """What went, or would go: days, the oldest first, and how many ids."""

    days: Sequence[Day]
    forgotten_ids: int

    @property
    def events(self) -> int:
        """How many events went with the days."""
        return sum(day.events for day in self.days)
