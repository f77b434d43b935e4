"""Whose something is that is known, and who does not allow that anything is."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.clients.identity import Identity
from gateway.flows import relevance
from kith.identity.v1 import person_pb2
from svckit.errors import PermissionDenied


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


async def silent_among(
    identity: Identity, person_ids: Iterable[str], default: relevance.ConsentDefault
) -> set[str]:
    """Those of the people who do not allow knowledge now; an empty id is nobody's."""
    named = dict.fromkeys(filter(None, person_ids))
    people = await identity.persons(named)
    # Knowledge may name people whom identity does not know: nobody has forbidden it.
    unknown = person_pb2.Consent()
    return {
        person_id
        for person_id in named
        if not relevance.allows_knowledge(
            people[person_id].consent if person_id in people else unknown, default
        )
    }
