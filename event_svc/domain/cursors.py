"""Named cursors: how far a consumer has come, and who may say so."""

from dataclasses import dataclass

from svckit.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class Lease:
    """A cursor held for a while: the token to save with, where it is, until when (ISO 8601)."""

    fencing_token: int
    position: int
    expires_at: str


class CursorNotFound(NotFound):
    """Nothing was ever saved under this name."""

    reason = "CURSOR_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no cursor {name!r}", name=name)


class CursorHeld(Conflict):
    """Somebody else holds the cursor, for `seconds_left` unless they prolong it."""

    reason = "CURSOR_HELD"

    def __init__(self, name: str, seconds_left: float) -> None:
        super().__init__(f"somebody else holds the cursor {name!r}", name=name)
        self.retry_after = seconds_left


class LeaseLost(Conflict):
    """The caller does not hold the cursor, or not any more."""

    reason = "LEASE_LOST"

    def __init__(self, name: str) -> None:
        super().__init__(f"the cursor {name!r} is not the caller's (any more)", name=name)
