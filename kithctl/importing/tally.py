"""What an import has done so far."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """Counts of messages; `skipped` and `failed` by why."""

    sent: int = 0
    """How many the gateway has answered, with a result or with an error of theirs alone."""
    new: int = 0
    duplicates: int = 0
    knowledge: Counter[str] = field(default_factory=Counter)
    """How many are stored as knowledge, deferred or skipped, as the gateway calls it."""
    skipped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    reached: int = 0
    """Everything up to this place of the file has been dealt with."""

    def count(self, result: dict[str, Any]) -> None:
        """Count the gateway's result for a message that is in the log."""
        self.sent += 1
        if result["duplicate"]:
            self.duplicates += 1
        else:
            self.new += 1
        self.knowledge[result["knowledge"]["state"]] += 1

    def as_dict(self) -> dict[str, Any]:
        """The counts, for a line of JSON."""
        return {
            "sent": self.sent,
            "new": self.new,
            "duplicates": self.duplicates,
            "stored_as_knowledge": self.knowledge["stored"],
            "deferred_as_knowledge": self.knowledge["deferred"],
            "skipped": dict(self.skipped),
            "failed": dict(self.failed),
        }
