"""The contract's messages to the domain, checked on the way, and back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from identity_svc import normalisation
from identity_svc.domain.people import (
    Account,
    Consent,
    Identity,
    Link,
    LinkPlace,
    Person,
    Registered,
    Registration,
    State,
)
from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import person_pb2
from svckit import fields, ids, pages, structs
from svckit.errors import InvalidRequest

MOST_PURPOSES = 64
_ETAG_BYTES = 64

_STATES: Mapping[int, State] = {
    person_pb2.CONSENT_STATE_UNSPECIFIED: "unset",
    person_pb2.CONSENT_STATE_UNSET: "unset",
    person_pb2.CONSENT_STATE_GRANTED: "granted",
    person_pb2.CONSENT_STATE_DENIED: "denied",
}
_NUMBERS = {
    "granted": person_pb2.CONSENT_STATE_GRANTED,
    "denied": person_pb2.CONSENT_STATE_DENIED,
}


def to_account(
    request: pb.RegisterPersonRequest | pb.ResolveIdentityRequest | pb.LinkIdentityRequest,
) -> Account:
    """The account that a request is about."""
    return normalisation.account(fields.word(request.platform, "platform"), request.platform_id)


def to_registration(request: pb.RegisterPersonRequest) -> Registration:
    """A registration, with new ids for whom it may create."""
    return Registration(
        account=to_account(request),
        metadata=fields.struct(request.metadata, "metadata"),
        consent=_to_decisions(request.consent),
    )


def _to_decisions(message: person_pb2.Consent) -> dict[str, State]:
    """What was decided; a purpose given as unset is as one not given."""
    if len(message.purposes) > MOST_PURPOSES:
        raise InvalidRequest(
            "consent.purposes",
            f"has {len(message.purposes)} entries; at most {MOST_PURPOSES} are allowed",
        )
    decisions: dict[str, State] = {}
    for purpose, number in message.purposes.items():
        if fields.word(purpose, "consent.purposes") != purpose:
            raise InvalidRequest("consent.purposes", f"{purpose!r} must be in lower case")
        if number not in _STATES:
            raise InvalidRequest(f"consent.purposes.{purpose}", "is not a known state")
        if _STATES[number] != "unset":
            decisions[purpose] = _STATES[number]
    return decisions


def to_etag(request: pb.UpdatePersonRequest) -> str | None:
    """The etag that the person must have, None for any."""
    return fields.text(request.etag, "etag", most=_ETAG_BYTES, least=0) or None


def to_created_before(request: pb.ListPendingRegistrationsRequest) -> datetime | None:
    """The time before which links were made, None for any."""
    moment = fields.timestamp(request, "created_before")
    return datetime.fromisoformat(moment) if moment else None


def to_place(page_token: str, *query: Any) -> LinkPlace | None:
    """Where the page before ended, None for the first page."""
    match pages.place(page_token, *query):
        case None:
            return None
        case [str(created_at), str(link_id)] if ids.is_uuid(link_id):
            try:
                place = LinkPlace(datetime.fromisoformat(created_at), link_id)
            except ValueError:
                pass
            else:
                if place.created_at.tzinfo is not None:
                    return place
    raise InvalidRequest("page_token", "is malformed")


def page_token(page: list[Link], *query: Any) -> str:
    """A token for what comes behind a page."""
    return pages.token([page[-1].created_at.isoformat(), page[-1].link_id], *query)


def from_registered(registered: Registered) -> pb.RegisterPersonResponse:
    """The answer to a registration."""
    return pb.RegisterPersonResponse(
        identity=_from_identity(registered.identity), created=registered.created
    )


def from_resolved(identity: Identity) -> pb.ResolveIdentityResponse:
    """The answer to the question who holds an account."""
    return pb.ResolveIdentityResponse(identity=_from_identity(identity))


def _from_identity(identity: Identity) -> pb.Identity:
    return pb.Identity(
        person_id=identity.person_id,
        link_id=identity.link_id,
        platform=identity.platform,
        platform_id=identity.platform_id,
        consent=_from_consent(identity.consent),
        registration_pending=identity.registration_pending,
    )


def from_person(person: Person) -> person_pb2.Person:
    """A person as the contract has them."""
    return person_pb2.Person(
        person_id=person.person_id,
        created_at=fields.to_timestamp(person.created_at),
        last_seen_at=fields.to_timestamp(person.last_seen_at),
        metadata=structs.from_dict(person.metadata),
        consent=_from_consent(person.consent),
        subject_ids=person.subject_ids,
        etag=person.etag,
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
    )


def _from_consent(consent: Consent) -> person_pb2.Consent:
    return person_pb2.Consent(
        purposes={
            purpose: _NUMBERS[state]
            for purpose, state in consent.purposes.items()
            if state in _NUMBERS
        },
        version=consent.version,
    )
