"""Links: the contract's messages to the domain, checked on the way, and back."""

from identity_svc import normalisation
from identity_svc.domain.links import Link, Linked
from identity_svc.domain.people import Account
from identity_svc.wire.merges import from_merge
from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import person_pb2
from svckit import fields
from svckit.errors import InvalidRequest


def to_account(
    request: pb.RegisterPersonRequest | pb.ResolveIdentityRequest | pb.LinkIdentityRequest,
) -> Account:
    """The account that a request is about."""
    return normalisation.account(fields.word(request.platform, "platform"), request.platform_id)


def to_verification_method(request: pb.LinkIdentityRequest) -> str:
    """How ownership was proven; empty where nothing says how."""
    method = request.verification_method
    if not method:
        return ""
    if fields.word(method, "verification_method") != method:
        raise InvalidRequest("verification_method", "must be in lower case")
    if not request.verified:
        raise InvalidRequest("verification_method", "goes only with `verified`")
    return method


def from_linked(linked: Linked) -> pb.LinkIdentityResponse:
    """The answer to a linking."""
    return pb.LinkIdentityResponse(
        link=from_link(linked.link),
        created=linked.created,
        merge=from_merge(linked.merge) if linked.merge else None,
    )


def from_link(link: Link) -> person_pb2.Link:
    """A link as the contract has it."""
    return person_pb2.Link(
        link_id=link.link_id,
        person_id=link.person_id,
        platform=link.platform,
        platform_id=link.platform_id,
        original_platform_id=link.original_platform_id,
        verified=link.verified,
        created_at=fields.to_timestamp(link.created_at),
        ended_at=fields.to_timestamp(link.ended_at),
        registration_pending=link.registration_pending,
        verified_at=fields.to_timestamp(link.verified_at),
        verification_method=link.verification_method,
    )
