"""What the service needs of a store of cursors."""

from typing import Protocol

from event_svc.domain.cursors import Lease


class CursorStore(Protocol):
    """How far named consumers have come; a cursor never goes back.

    Whoever acquires a cursor has a larger fencing token than anybody before, and from then
    on nothing is saved with an older one, whatever its owner believes.
    """

    async def get(self, name: str) -> int:
        """The position saved last; raises CursorNotFound."""
        ...

    async def save(self, name: str, position: int, fencing_token: int = 0) -> int:
        """Save a position unless a later one is saved already; answers what is saved now.

        Raises LeaseLost unless the token is the newest, or 0 while nobody holds the cursor,
        and BeyondTheLog for a position that no event has yet.
        """
        ...

    async def acquire(self, name: str, owner: str, seconds: float) -> Lease:
        """Hold a cursor from now on for so long, by the store's clock; raises CursorHeld.

        The owner before keeps the token, also where the time had run out and nobody else
        had come.
        """
        ...

    async def release(self, name: str, fencing_token: int) -> bool:
        """Give a cursor back; answers whether this call did."""
        ...
