"""The contract's messages on link verifications to the domain, checked, and back."""

from identity_svc import normalisation
from identity_svc.domain.verification import (
    Attempt,
    NewVerification,
    VerificationStarted,
    clean_code,
    code_hash,
)
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import fields
from svckit.errors import InvalidRequest

# Far more than the code, for spaces.
_CODE_BYTES = 64


def to_verification(request: pb.StartLinkVerificationRequest) -> NewVerification:
    """A verification to start, with a new code."""
    return NewVerification(
        person_id=fields.uuid(request.person_id, "person_id"),
        account=normalisation.account(
            fields.word(request.platform, "platform"), request.platform_id
        ),
    )


def to_attempt(request: pb.ConfirmLinkVerificationRequest) -> Attempt:
    """An attempt with a code, of which only the hash goes on."""
    verification_id = fields.uuid(request.verification_id, "verification_id")
    code = clean_code(fields.text(request.code, "code", most=_CODE_BYTES))
    if not code:
        raise InvalidRequest("code", "is required")
    return Attempt(verification_id, code_hash(verification_id, code))


def from_started(
    verification: NewVerification, started: VerificationStarted
) -> pb.StartLinkVerificationResponse:
    """The answer to who starts a verification: the only one that has the code."""
    return pb.StartLinkVerificationResponse(
        verification_id=started.verification_id,
        code=verification.code,
        expires_at=fields.to_timestamp(started.expires_at),
    )
