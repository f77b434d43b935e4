"""Consent: the contract's messages to the domain, checked on the way, and back."""

from collections.abc import Mapping

from identity_svc.domain.consent import Consent, ConsentChange, State
from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import person_pb2
from svckit import fields
from svckit.errors import InvalidRequest

MOST_PURPOSES = 64
_SOURCE_CHARACTERS = 256

_STATES: Mapping[int, State] = {
    person_pb2.CONSENT_STATE_UNSPECIFIED: "unset",
    person_pb2.CONSENT_STATE_UNSET: "unset",
    person_pb2.CONSENT_STATE_GRANTED: "granted",
    person_pb2.CONSENT_STATE_DENIED: "denied",
}
_NUMBERS = {
    "unset": person_pb2.CONSENT_STATE_UNSET,
    "granted": person_pb2.CONSENT_STATE_GRANTED,
    "denied": person_pb2.CONSENT_STATE_DENIED,
}


def to_first_decisions(message: person_pb2.Consent) -> dict[str, State]:
    """What was decided with a registration; a purpose given as unset is as one not given."""
    decisions = _to_decisions(message.purposes, "consent.purposes")
    return {purpose: state for purpose, state in decisions.items() if state != "unset"}


def to_decisions(request: pb.SetConsentRequest) -> dict[str, State]:
    """What is decided; at least one purpose."""
    if not request.purposes:
        raise InvalidRequest("purposes", "is required")
    return _to_decisions(request.purposes, "purposes")


def _to_decisions(
    purposes: Mapping[str, "person_pb2.ConsentState.ValueType"], field: str
) -> dict[str, State]:
    if len(purposes) > MOST_PURPOSES:
        raise InvalidRequest(
            field, f"has {len(purposes)} entries; at most {MOST_PURPOSES} are allowed"
        )
    decisions: dict[str, State] = {}
    for purpose, number in purposes.items():
        _to_purpose(purpose, field)
        if number not in _STATES:
            raise InvalidRequest(f"{field}.{purpose}", "is not a known state")
        decisions[purpose] = _STATES[number]
    return decisions


def to_wanted_purpose(request: pb.ListConsentHistoryRequest) -> str | None:
    """The purpose that a history is about, None for all."""
    return _to_purpose(request.purpose, "purpose") if request.purpose else None


def _to_purpose(purpose: str, field: str) -> str:
    if fields.word(purpose, field) != purpose:
        raise InvalidRequest(field, f"{purpose!r} must be in lower case")
    return purpose


def to_source(request: pb.SetConsentRequest) -> str:
    """Where decisions were made."""
    return fields.characters(request.source, "source", most=_SOURCE_CHARACTERS)


def from_consent(consent: Consent) -> person_pb2.Consent:
    """What is allowed, as the contract has it: what is unset is not listed."""
    return person_pb2.Consent(
        purposes={
            purpose: _NUMBERS[state]
            for purpose, state in consent.purposes.items()
            if state != "unset"
        },
        version=consent.version,
    )


def from_change(change: ConsentChange) -> pb.ConsentChange:
    """A decision as the contract has it."""
    return pb.ConsentChange(
        person_id=change.person_id,
        version=change.version,
        purpose=change.purpose,
        state=_NUMBERS[change.state],
        source=change.source,
        changed_at=fields.to_timestamp(change.changed_at),
    )
