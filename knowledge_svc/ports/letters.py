"""What those who run the index need from outside."""

from collections.abc import Sequence
from typing import Protocol

from knowledge_svc.domain.letters import LetterPlace, Letters


class LetterStore(Protocol):
    """The items that an indexer gave up, in whichever space in use."""

    async def letters(
        self, namespaces: Sequence[str] | None, *, before: LetterPlace | None, limit: int
    ) -> Letters:
        """A page of them, the last given up first, from below a place on."""
        ...

    async def replay(self, ids: Sequence[str]) -> int:
        """Queue those of the items again that were given up; answers how many."""
        ...

    async def replay_all(self) -> int:
        """Queue all again that have been given up by now; answers how many."""
        ...
