"""Which trace, request and deadline the work at hand belongs to, and how calls carry that on."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import structlog

from svckit import ids
from svckit.calls import BACKGROUND

# W3C Trace Context, version 00: trace id and parent id are not all zeros.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID = re.compile(r"[!-~]{1,128}")

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """What one request, or one round of background work, is known by."""

    trace_id: str
    request_id: str
    # On the loop's clock; None where nobody waits.
    deadline: float | None = None
    # Whether it is polling of our own, which a service need not log when it goes well.
    is_background: bool = False

    def metadata(self) -> Metadata:
        """What a call to a service carries; each call is a span of its own."""
        carried = (
            ("traceparent", f"00-{self.trace_id}-{secrets.token_hex(8)}-01"),
            ("x-request-id", self.request_id),
        )
        return (*carried, (BACKGROUND, "1")) if self.is_background else carried

    def seconds_left(self, most: float) -> float:
        """How long a call may take: at most `most`, and not beyond the deadline."""
        if self.deadline is None:
            return most
        return max(0.0, min(most, self.deadline - asyncio.get_running_loop().time()))


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current() -> Trace:
    """The trace at hand; work outside of any gets one of its own."""
    return _current.get() or new()


def new(traceparent: str = "", request_id: str = "", deadline: float | None = None) -> Trace:
    """A trace that goes on from a client's headers as far as they are well-formed."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return Trace(
        match[1] if match else secrets.token_hex(16),
        request_id if _REQUEST_ID.fullmatch(request_id) else ids.new(),
        deadline,
    )


def enter(trace: Trace) -> None:
    """Make a trace the one at hand, for calls and log lines of this task."""
    _current.set(trace)
    structlog.contextvars.bind_contextvars(trace_id=trace.trace_id, request_id=trace.request_id)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """A deadline for the block, and for the calls that it makes; raises TimeoutError."""
    deadline = asyncio.get_running_loop().time() + seconds
    token = _current.set(replace(current(), deadline=deadline))
    try:
        async with asyncio.timeout_at(deadline):
            yield
    finally:
        _current.reset(token)


def without_deadline() -> Trace:
    """The trace at hand, for work that goes on after its request is answered."""
    return replace(current(), deadline=None)
