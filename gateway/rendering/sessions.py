"""Onboarding sessions."""

from typing import Literal

from gateway.answers import sessions as answers
from gateway.rendering.values import moment
from kith.identity.v1 import session_pb2
from svckit import structs

_STATES: dict[int, Literal["open", "claimed", "expired"]] = {
    session_pb2.SESSION_STATE_OPEN: "open",
    session_pb2.SESSION_STATE_CLAIMED: "claimed",
    session_pb2.SESSION_STATE_EXPIRED: "expired",
}


def session(message: session_pb2.Session) -> answers.SessionAnswer:
    """What an onboarding knows."""
    return {
        "session_id": message.session_id,
        "data": structs.to_dict(message.data),
        "state": _STATES.get(message.state, "open"),
        "created_at": moment(message, "created_at"),
        "expires_at": moment(message, "expires_at"),
        "person_id": message.person_id or None,
        "claimed_at": moment(message, "claimed_at"),
        "etag": message.etag,
    }
