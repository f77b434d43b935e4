"""Requests that take something away to the domain, checked on the way."""

from collections.abc import Sequence

from event_svc.domain.redaction import ERASED
from svckit import fields, structs
from svckit.errors import InvalidRequest

MOST = 1000
MOST_REASON_CHARACTERS = 256


def to_event_ids(event_ids: Sequence[str]) -> list[str]:
    """One to 1,000 events."""
    return fields.uuids(fields.batch(event_ids, "event_ids"), "event_ids", most=MOST)


def to_reason(reason: str) -> str:
    """Why something is redacted."""
    structs.check_text(reason, "reason")
    if not 1 <= len(reason) <= MOST_REASON_CHARACTERS:
        raise InvalidRequest(
            "reason",
            f"is {len(reason)} characters long; 1 to {MOST_REASON_CHARACTERS} are allowed",
        )
    if reason == ERASED:
        raise InvalidRequest("reason", "is what erasure writes; say it in other words")
    return reason
