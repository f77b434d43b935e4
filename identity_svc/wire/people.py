"""People: the contract's messages to the domain, checked on the way, and back."""

from datetime import datetime

from google.protobuf.message import Message

from identity_svc.domain.people import (
    Creation,
    Identity,
    MergedPerson,
    Person,
    PersonFilter,
    Registered,
    Registration,
)
from identity_svc.wire.consent import from_consent, to_first_decisions
from identity_svc.wire.links import to_account
from identity_svc.wire.merges import from_merge
from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import person_pb2
from svckit import fields, ids, structs
from svckit.errors import InvalidRequest

_ETAG_BYTES = 64


def to_registration(request: pb.RegisterPersonRequest) -> Registration:
    """A registration, with new ids for whom it may create."""
    return Registration(
        account=to_account(request),
        metadata=fields.struct(request.metadata, "metadata"),
        consent=to_first_decisions(request.consent),
    )


def to_creation(request: pb.CreatePersonRequest) -> Creation:
    """Somebody to create, under a new id where the client gives none."""
    return Creation(
        person_id=fields.optional_uuid(request.person_id, "person_id") or ids.new(),
        metadata=fields.struct(request.metadata, "metadata"),
        consent=to_first_decisions(request.consent),
    )


def wants_whole(request: pb.BatchGetPersonsRequest) -> bool:
    """Whether people are asked for with everything about them."""
    if request.view not in pb.PersonView.values():
        raise InvalidRequest("view", "is not a known view")
    return request.view != pb.PERSON_VIEW_BASIC


def to_filter(request: pb.ListPersonsRequest) -> PersonFilter:
    """Which people to list."""
    return PersonFilter(
        platform=fields.word(request.platform, "platform") if request.platform else None,
        metadata=fields.struct(request.metadata, "metadata") or None,
        seen_from=_to_moment(request, "seen_from"),
        seen_to=_to_moment(request, "seen_to"),
    )


def to_etag(request: pb.UpdatePersonRequest) -> str | None:
    """The etag that the person must have, None for any."""
    return fields.text(request.etag, "etag", most=_ETAG_BYTES, least=0) or None


def to_created_before(request: pb.ListPendingRegistrationsRequest) -> datetime | None:
    """The time before which links were made, None for any."""
    return _to_moment(request, "created_before")


def _to_moment(request: Message, field: str) -> datetime | None:
    moment = fields.timestamp(request, field)
    return datetime.fromisoformat(moment) if moment else None


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
        consent=from_consent(identity.consent),
        registration_pending=identity.registration_pending,
    )


def from_person(person: Person) -> person_pb2.Person:
    """A person as the contract has them."""
    return person_pb2.Person(
        person_id=person.person_id,
        created_at=fields.to_timestamp(person.created_at),
        last_seen_at=fields.to_timestamp(person.last_seen_at),
        metadata=None if person.metadata is None else structs.from_dict(person.metadata),
        consent=from_consent(person.consent),
        subject_ids=person.subject_ids,
        etag=person.etag,
        person_ids=person.person_ids,
        merged_persons=map(_from_merged_person, person.merged_persons),
        merges=map(from_merge, person.merges),
    )


def _from_merged_person(merged: MergedPerson) -> person_pb2.MergedPerson:
    return person_pb2.MergedPerson(
        person_id=merged.person_id,
        merge_id=merged.merge_id,
        created_at=fields.to_timestamp(merged.created_at),
        metadata=structs.from_dict(merged.metadata),
    )
