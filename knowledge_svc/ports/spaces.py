"""What keeps the spaces, and what is still to be done for those that do not serve."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from knowledge_svc.domain.items import Space
from knowledge_svc.domain.spaces import SpaceState, SpaceStatus


class SpaceStore(Protocol):
    """The spaces. One serves; at most one more, its partner, is built or stands by.

    A partner follows each write from its first moment on. Every method may be repeated.
    """

    async def serving(self) -> str | None:
        """The name of the serving space, if there is one yet."""
        ...

    async def roles(self) -> Mapping[Space, SpaceState]:
        """What each space is for."""
        ...

    async def spaces(self) -> Sequence[SpaceStatus]:
        """How each space stands, the serving one first; it counts, so it takes its time."""
        ...

    async def start(self, space: Space) -> bool:
        """Begin to build a space; false where it is built or stands by already.

        Raises SpaceNotReady where it serves, or another one is in the way.
        """
        ...

    async def switch(self, space: str) -> None:
        """Let a space serve that has caught up; the one before stands by.

        Raises SpaceNotFound, and SpaceNotReady where it has not caught up.
        """
        ...

    async def start_drop(self, space: str) -> bool:
        """First step of removing a space; false where it is being removed.

        Raises SpaceNotFound, and SpaceNotReady where it serves.
        """
        ...

    async def droppable(self) -> Sequence[str]:
        """Spaces being removed that no indexer writes to any more: their vectors can go."""
        ...

    async def forget(self, space: str) -> None:
        """Last step, after the vectors are gone: forget what was known of the space."""
        ...

    async def removals(self, space: str, *, most: int) -> Sequence[str]:
        """Items that are being deleted and may still have a vector in this partner."""
        ...

    async def forget_removals(self, space: str, ids: Sequence[str]) -> None:
        """Say that these have none there any more."""
        ...

    async def reread_documents(self, chunker: str) -> int:
        """Have all documents read again that another chunker took apart; how many."""
        ...
