"""How a command talks to the integrity service, which is the knowledge service's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from kith.knowledge.v1.integrity_service_pb2_grpc import IntegrityServiceStub
from kithctl.knowledge.target import DEFAULT_ADDRESS
from kithctl.target import Credential, open_channel, started

# Of 1, scripts know that something is wrong with what is stored.
UNREACHABLE = 2

_MEANINGS = {grpc.StatusCode.UNIMPLEMENTED: "is older than this command"}
# A peer that is frozen is noticed, however long a walk takes.
_OPTIONS = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", 16 << 20),
]


@contextmanager
def open_integrity(
    address: str | None, home: Path
) -> Iterator[tuple[IntegrityServiceStub, Credential]]:
    """A stub of the integrity service, and what to show to it; what it refuses is a Failure."""
    target = address or started(home, "knowledge") or DEFAULT_ADDRESS
    with open_channel(
        "knowledge", target, _MEANINGS, options=_OPTIONS, exit_status=UNREACHABLE
    ) as (channel, credential):
        yield IntegrityServiceStub(channel), credential
