"""What identity needs from outside to verify links: a store of verifications."""

from typing import Protocol

from identity_svc.domain.links import Linked
from identity_svc.domain.verification import Attempt, NewVerification, VerificationStarted


class VerificationStore(Protocol):
    """Link verifications. Only hashes of codes get here.

    Every method may be repeated with the same arguments, and answers as it did the first
    time.
    """

    async def start(self, verification: NewVerification) -> VerificationStarted:
        """Start a verification, for ten minutes and five tries.

        An earlier one of the same person and account ends. Whether anybody holds the
        account makes no difference. Raises PersonNotFound, PersonErasing, and
        VerificationThrottled after five starts within ten minutes for an account, or for a
        person by any of their ids.
        """
        ...

    async def confirm(self, attempt: Attempt) -> Linked:
        """Link the account to the person with proof, if the code is right.

        Linking and marking the verification as used are one. A wrong code spends a try,
        exactly one however many are tried at once. Once used, a verification answers its
        link to whoever has the code. Raises VerificationNotFound, VerificationFailed,
        VerificationExpired, LinkTaken and PersonErasing.
        """
        ...

    async def sweep(self, *, limit: int) -> int:
        """Delete up to `limit` that were started a day ago; answers how many."""
        ...
