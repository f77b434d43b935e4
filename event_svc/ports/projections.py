"""What projections need from the store, and what they may rely on."""

from collections.abc import Sequence
from typing import Protocol

from event_svc.domain.projections import (
    BackfillStep,
    Definition,
    Projection,
    ProjectionValue,
    ValueQuery,
)


class ProjectionStore(Protocol):
    """Running aggregates: appended events count in the transaction that appends them."""

    async def define(self, definition: Definition) -> tuple[Projection, bool]:
        """Begin to count, and whether this call began it; new events count from now on.

        Raises ProjectionConflict where the name counts something else, and
        TooManyProjections.
        """
        ...

    async def get(self, name: str) -> Projection:
        """One projection; raises ProjectionNotFound."""
        ...

    async def list(self) -> Sequence[Projection]:
        """All of them, by name."""
        ...

    async def delete(self, name: str) -> bool:
        """Forget a projection and its values; answers whether it was there."""
        ...

    async def values(
        self, query: ValueQuery, *, after: tuple[str, str | None] | None, limit: int
    ) -> Sequence[ProjectionValue]:
        """Up to `limit` values by key, then by subject, `after` a key and subject.

        Subjects that are combined have one value for each key. Raises ProjectionNotFound.
        """
        ...

    async def backfill(self, most_positions: int) -> BackfillStep:
        """Count some older events in, each once whoever else is at it, or tidy up."""
        ...
