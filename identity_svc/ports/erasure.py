"""What identity needs from outside for erasures: a store that records and erases."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from identity_svc.domain.erasure import Erasure, Stage, Started
from identity_svc.domain.places import Place


class ErasureStore(Protocol):
    """Erasures of people. Every method may be repeated with the same arguments."""

    async def start(self, person_id: str, *, erasure_id: str) -> Started:
        """Record that a person, with everyone merged into them, is to be erased.

        In the same moment their open links end, and nothing else about them changes any
        more, whatever was under way. Answers the erasure that is there, running or
        finished, or the new one as `erasure_id`. Raises PersonNotFound.
        """
        ...

    async def record(
        self,
        erasure_id: str,
        stage: Stage,
        *,
        erased: Mapping[str, int],
        remaining: Mapping[str, int],
    ) -> Erasure:
        """Record that a stage is done; one that is recorded already stays as it is.

        For the stage `identity`, erase in the same moment whatever is held of the people,
        and record what was counted in place of the counts given. Raises ErasureNotFound
        and ErasureOutOfOrder.
        """
        ...

    async def get(self, erasure_id: str) -> Erasure:
        """One erasure; raises ErasureNotFound."""
        ...

    async def of_person(self, person_id: str) -> Erasure:
        """The erasure of a person, by any id they had; raises ErasureNotFound."""
        ...

    async def list(
        self, *, running: bool | None, after: Place | None, limit: int
    ) -> Sequence[Erasure]:
        """Up to `limit` erasures behind a place, oldest first: running, finished, or all."""
        ...

    async def count_running(self) -> int:
        """How many erasures are not finished."""
        ...
