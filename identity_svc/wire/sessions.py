"""The contract's messages on onboarding sessions to the domain, checked, and back."""

from identity_svc.domain.sessions import NewSession, Session
from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import session_pb2
from svckit import fields, structs
from svckit.errors import InvalidRequest

LEAST_SECONDS = 60
MOST_SECONDS = 30 * 86_400

_STATES = {
    "open": session_pb2.SESSION_STATE_OPEN,
    "claimed": session_pb2.SESSION_STATE_CLAIMED,
    "expired": session_pb2.SESSION_STATE_EXPIRED,
}


def to_new_session(request: pb.CreateSessionRequest) -> NewSession:
    """A session to create; without an id it gets one that is hard to guess."""
    given = fields.optional_uuid(request.session_id, "session_id")
    return NewSession(
        data=fields.struct(request.data, "data"),
        ttl_milliseconds=to_ttl(request),
        **({"session_id": given} if given else {}),
    )


def to_ttl(request: pb.CreateSessionRequest | pb.UpdateSessionRequest) -> int | None:
    """How long it is to last, in milliseconds; None where that is not said."""
    if not request.HasField("ttl"):
        return None
    ttl = request.ttl
    in_range = LEAST_SECONDS <= ttl.seconds <= MOST_SECONDS and 0 <= ttl.nanos < 1_000_000_000
    if not in_range or (ttl.seconds == MOST_SECONDS and ttl.nanos):
        raise InvalidRequest("ttl", "must be one minute to 30 days")
    return ttl.seconds * 1000 + ttl.nanos // 1_000_000


def from_session(session: Session) -> session_pb2.Session:
    """A session as the contract has it."""
    return session_pb2.Session(
        session_id=session.session_id,
        data=structs.from_dict(session.data),
        created_at=fields.to_timestamp(session.created_at),
        expires_at=fields.to_timestamp(session.expires_at),
        state=_STATES[session.state],
        person_id=session.person_id or "",
        claimed_at=fields.to_timestamp(session.claimed_at),
        etag=session.etag,
    )
