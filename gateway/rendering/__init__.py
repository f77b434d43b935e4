"""Messages of the services as the answers of the gateway; it knows nothing of HTTP."""

from gateway.rendering.erasures import caveats, erasure
from gateway.rendering.events import count, event, logged
from gateway.rendering.groups import group, member
from gateway.rendering.knowledge import hit
from gateway.rendering.memories import memory, upserted
from gateway.rendering.people import (
    consent,
    consent_change,
    identity,
    link,
    merge,
    new_link,
    person,
    verification,
)
from gateway.rendering.projections import projection, projection_value
from gateway.rendering.sessions import session

__all__ = [
    "caveats",
    "consent",
    "consent_change",
    "count",
    "erasure",
    "event",
    "group",
    "hit",
    "identity",
    "link",
    "logged",
    "member",
    "memory",
    "merge",
    "new_link",
    "person",
    "projection",
    "projection_value",
    "session",
    "upserted",
    "verification",
]
