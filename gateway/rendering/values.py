"""Values of messages as values of answers, and the other way round."""

from collections.abc import Mapping
from datetime import UTC, datetime

from google.protobuf import timestamp_pb2
from google.protobuf.message import Message

from kith.identity.v1 import person_pb2
from svckit import ids

STATES = {
    "granted": person_pb2.CONSENT_STATE_GRANTED,
    "denied": person_pb2.CONSENT_STATE_DENIED,
    "unset": person_pb2.CONSENT_STATE_UNSET,
}
STATE_NAMES = {state: name for name, state in STATES.items()}


def purposes(decisions: Mapping[str, str]) -> dict[str, person_pb2.ConsentState.ValueType]:
    """Decisions by purpose, as identity has them."""
    return {purpose: STATES[state] for purpose, state in decisions.items()}


def moment(message: Message, field: str) -> str | None:
    """A Timestamp field as RFC 3339 text in UTC, None where it is not set."""
    if not message.HasField(field):
        return None
    value: timestamp_pb2.Timestamp = getattr(message, field)
    whole = datetime.fromtimestamp(value.seconds, UTC).replace(microsecond=value.nanos // 1000)
    return whole.isoformat().replace("+00:00", "Z")


def conversation(session_id: str | None, platform: str) -> str:
    """The UUID of the conversation that a client names; empty for none."""
    return ids.conversation(platform, session_id) if session_id else ""
