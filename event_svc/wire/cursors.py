"""Messages about cursors to the domain, checked on the way, and back."""

import re

from event_svc.domain.cursors import Lease
from kith.event.v1 import event_service_pb2 as pb
from svckit import fields
from svckit.errors import InvalidRequest

DEFAULT_SECONDS = 30.0
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 3600.0

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def to_name(name: str, field: str = "name") -> str:
    """The name of a cursor, or of who holds one."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            field,
            "must be 1 to 128 letters, digits, '_', '-', '.' or ':'" if name else "is required",
        )
    return name


def to_token(token: int, *, least: int = 0) -> int:
    """A fencing token; 0 stands for none."""
    if token < least:
        raise InvalidRequest("fencing_token", "must not be negative" if token else "is required")
    return token


def to_seconds(request: pb.AcquireCursorRequest) -> float:
    """For how long a cursor is to be held."""
    if not request.HasField("ttl"):
        return DEFAULT_SECONDS
    # Not through timedelta, which refuses some durations in its own way.
    seconds = request.ttl.seconds + request.ttl.nanos / 1e9
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise InvalidRequest("ttl", "must be one second to one hour")
    return seconds


def from_lease(lease: Lease) -> pb.AcquireCursorResponse:
    """A cursor that is held now."""
    return pb.AcquireCursorResponse(
        fencing_token=lease.fencing_token,
        position=lease.position,
        expires_at=fields.to_timestamp(lease.expires_at),
    )
