"""What redaction and erasure need from the store, and what they may rely on."""

from collections.abc import Sequence
from typing import Protocol

from event_svc.domain.redaction import ErasureStep, Remains


class RedactionStore(Protocol):
    """Takes away what events say; their places stay."""

    async def redact(self, event_ids: Sequence[str], reason: str) -> Sequence[str]:
        """Take away the content of events; answers the ids of those that still had it.

        Unknown ids are passed over. A repeat of an event that was redacted is a duplicate
        whatever it says. What the events added to projections is taken out of them. In the
        same transaction a notice is logged for each subject, group and conversation.
        """
        ...

    async def begin_erasure(self, subject_ids: Sequence[str]) -> int:
        """Refuse to log about subjects from now on; answers how many were not refused yet.

        Every event that was or will be logged about them is logged already when this
        returns. Each subject gets one notice, in the same transaction.
        """
        ...

    async def erase_step(self, subject_ids: Sequence[str], most_events: int) -> ErasureStep:
        """Shred some of what was logged about refused subjects, and of their values.

        Steps may be repeated, may race, and go on where the last one stopped.
        """
        ...

    async def count(self, subject_ids: Sequence[str]) -> Remains:
        """What is left of subjects, looked for in the log itself."""
        ...
