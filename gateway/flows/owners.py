"""Whose something is that is known, and who does not allow that anything is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.clients.identity import Identity
from gateway.flows import relevance
from kith.identity.v1 import person_pb2
from svckit.errors import NotFound, PermissionDenied

# Under which subject something is filed, and the person that it names.
Ownership = tuple[str, str]


class Filed(Protocol):
    """An event, an item or a document."""

    @property
    def subject_id(self) -> str: ...

    @property
    def person_id(self) -> str: ...


class ConsentDenied(PermissionDenied):
    """The person does not allow that anything is known or remembered of them."""

    reason = "CONSENT_DENIED"

    def __init__(self, person_id: str) -> None:
        super().__init__(f"person {person_id} does not allow knowledge", person_id=person_id)


@dataclass(frozen=True)
class Owner:
    """A person, and which of their subjects something is about."""

    subject_id: str
    person_id: str
    consent: person_pb2.Consent


async def owner_of(
    identity: Identity, account: tuple[str, str] | None, person_id: str | None
) -> Owner | None:
    """Who holds an account, (platform, platform id), or has an id; None where neither is given.

    Raises PersonNotFound, LINK_NOT_FOUND.
    """
    if account is not None:
        [found] = await identity.resolve([account])
        if isinstance(found, BaseException):
            raise found
        return Owner(found.link_id, found.person_id, found.consent)
    if person_id is not None:
        person = await identity.person(person_id)
        return Owner(person_id, person.person_id, person.consent)
    return None


def ownership_of(filed: Filed) -> Ownership:
    """Where something is filed."""
    return filed.subject_id, filed.person_id


async def silent_among(
    identity: Identity, filed: Iterable[Filed], default: relevance.ConsentDefault
) -> set[Ownership]:
    """Those ownerships whose people do not allow knowledge now; what names nobody is nobody's."""
    ownerships = dict.fromkeys(ownership_of(each) for each in filed if each.person_id)
    people = await people_of(identity, ownerships)
    # Knowledge may name people whom identity does not know: nobody has forbidden it.
    unknown = person_pb2.Consent()
    return {
        ownership
        for ownership in ownerships
        if not relevance.allows_knowledge(
            people[ownership].consent if ownership in people else unknown, default
        )
    }


async def people_of(
    identity: Identity, ownerships: Iterable[Ownership]
) -> Mapping[Ownership, person_pb2.Person]:
    """Whose each is now, as far as identity knows whom it names.

    What was said while two people were merged names the one that they were then; once they have
    come apart it is theirs who have the subject.
    """
    ownerships = list(ownerships)
    named = await identity.persons(person_id for _, person_id in ownerships)
    subjects = {person.person_id: set(person.subject_ids) for person in named.values()}
    found: dict[Ownership, person_pb2.Person] = {}
    astray: dict[str, list[Ownership]] = {}
    for ownership in ownerships:
        subject_id, person_id = ownership
        if person_id not in named:
            continue
        found[ownership] = person = named[person_id]
        if subject_id and subject_id not in subjects[person.person_id]:
            astray.setdefault(person.person_id, []).append(ownership)
    for person_id, strays in astray.items():
        holders = await _parted_from(identity, person_id, {subject_id for subject_id, _ in strays})
        found |= {
            ownership: holders[ownership[0]] for ownership in strays if ownership[0] in holders
        }
    return found


async def _parted_from(
    identity: Identity, person_id: str, subject_ids: set[str]
) -> Mapping[str, person_pb2.Person]:
    """Who has these subjects among those that a person was merged with, or these with others."""
    holders: dict[str, person_pb2.Person] = {}
    seen, ahead = {person_id}, [person_id]
    while ahead and len(holders) < len(subject_ids):
        others = await _ever_merged_with(identity, ahead.pop(0))
        for person in (await identity.persons(others)).values():
            if person.person_id not in seen:
                seen.add(person.person_id)
                ahead.append(person.person_id)
                holders |= dict.fromkeys(subject_ids.intersection(person.subject_ids), person)
    return holders


async def _ever_merged_with(identity: Identity, person_id: str) -> Iterable[str]:
    try:
        merges = (await identity.person(person_id)).merges
    except NotFound:
        # Erased since.
        return ()
    return {each for merge in merges for each in (merge.source_person_id, merge.target_person_id)}
