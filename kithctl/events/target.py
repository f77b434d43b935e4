"""Which event service a command talks to, and what it says where that does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import grpc

from kith.event.v1.event_service_pb2_grpc import EventServiceStub
from kithctl.target import Credential, open_channel, service_option, started

DEFAULT_ADDRESS = "127.0.0.1:50052"

ServiceOption = Annotated[str | None, service_option("event", DEFAULT_ADDRESS)]

_MEANINGS = {
    grpc.StatusCode.DEADLINE_EXCEEDED: "did not answer in time; the same command goes on",
}


@contextmanager
def open_events(address: str | None, home: Path) -> Iterator[tuple[EventServiceStub, Credential]]:
    """A stub of the event service, and what to show to it; what it refuses becomes a Failure."""
    target = address or started(home, "event") or DEFAULT_ADDRESS
    with open_channel("event", target, _MEANINGS) as (channel, credential):
        yield EventServiceStub(channel), credential
