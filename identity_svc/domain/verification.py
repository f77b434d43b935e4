"""Link verifications: codes that prove who owns an account."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from identity_svc.domain.people import Account
from svckit import ids
from svckit.errors import FailedPrecondition, NotFound, ResourceExhausted

# Without letters and digits that are taken for one another, such as O and 0, I and 1, S and
# 5, B and 8, U and V. Eight of these 23 are 78 thousand million codes.
ALPHABET = "ACDEFGHJKMNPQRTWXY34679"
CODE_LENGTH = 8


def new_code() -> str:
    """A code that nobody can foresee."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def clean_code(given: str) -> str:
    """A code as it was made, whatever became of its case and spaces on the way."""
    return "".join(given.split()).upper()


def code_hash(verification_id: str, code: str) -> str:
    """What is kept of a code: HMAC-SHA256, keyed with the verification's id as the salt.

    The salt makes each worth cracking only by itself. A slow hash would guard ten minutes of a
    code against somebody who reads the database, and let anybody who guesses burn our time.
    """
    return hmac.new(verification_id.encode(), code.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class NewVerification:
    """A verification to start. The code is made once and leaves here only in the answer."""

    person_id: str
    account: Account
    verification_id: str = field(default_factory=ids.new)
    code: str = field(default_factory=new_code, repr=False)

    @property
    def code_hash(self) -> str:
        """See `code_hash`."""
        return code_hash(self.verification_id, self.code)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A code that somebody gave, and the id of the link to make if it is right.

    The id is new with each call, so that a repeated call recognises its own work.
    """

    verification_id: str
    code_hash: str
    link_id: str = field(default_factory=ids.new)


@dataclass(frozen=True, slots=True)
class VerificationStarted:
    """A verification that waits for its code."""

    verification_id: str
    expires_at: datetime


class VerificationNotFound(NotFound):
    """There is no such verification."""

    reason = "VERIFICATION_NOT_FOUND"

    def __init__(self, verification_id: str) -> None:
        super().__init__(
            f"there is no verification {verification_id}", verification_id=verification_id
        )


class VerificationFailed(FailedPrecondition):
    """The code is wrong."""

    reason = "VERIFICATION_FAILED"

    def __init__(self, verification_id: str, tries_left: int) -> None:
        super().__init__(
            f"the code is wrong; {tries_left} tries are left",
            verification_id=verification_id,
            tries_left=tries_left,
        )


class VerificationExpired(FailedPrecondition):
    """The verification has expired, was replaced by another, or its tries are used up."""

    reason = "VERIFICATION_EXPIRED"

    def __init__(self, verification_id: str) -> None:
        super().__init__(
            f"verification {verification_id} has ended; start another",
            verification_id=verification_id,
        )


class VerificationThrottled(ResourceExhausted):
    """Too many verifications of the account, or for the person, were started of late."""

    reason = "VERIFICATION_THROTTLED"

    def __init__(self, retry_after: float) -> None:
        super().__init__("too many verifications were started of late", retry_after=retry_after)
