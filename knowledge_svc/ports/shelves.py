"""What listing namespaces needs from outside."""

from collections.abc import Sequence
from typing import Protocol

from knowledge_svc.domain.shelves import Shelf


class ShelfStore(Protocol):
    """The namespaces that something stands on."""

    async def shelves(
        self, subject_ids: Sequence[str] | None, *, after: str, limit: int
    ) -> Sequence[Shelf]:
        """Shelves with names above `after`, in order; of some subjects, or of everybody.

        Of everybody it takes as long as there are shelves, documents and unindexed items; of
        subjects, as they have items.
        """
        ...
