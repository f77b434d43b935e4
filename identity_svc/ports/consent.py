"""What identity needs from outside: a store of consent."""

from collections.abc import Mapping
from typing import Protocol

from identity_svc.domain.consent import Consent, ConsentChange, ConsentPlace, State


class ConsentStore(Protocol):
    """Decisions, each of one person id, and what they allow together while several are one.

    All methods raise PersonNotFound, and Unavailable where the store cannot be reached.
    """

    async def set(self, person_id: str, purposes: Mapping[str, State], *, source: str) -> Consent:
        """Record decisions for everyone whom the person is now, and answer what they allow.

        What changes nothing for anybody makes no version; nor does unsetting what was never
        decided. Raises TooManyPurposes where anybody would have decided on too many.
        """
        ...

    async def consent(self, person_id: str) -> Consent:
        """What the person allows now."""
        ...

    async def history(
        self, person_id: str, *, purpose: str | None, before: ConsentPlace | None, limit: int
    ) -> list[ConsentChange]:
        """Up to `limit` decisions of everyone whom the person is now, newest first."""
        ...
