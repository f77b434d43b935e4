"""Which event service a command talks to: the one it is told, else the one `kith up` started."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import grpc
import typer

from kith.event.v1.event_service_pb2_grpc import EventServiceStub
from kithctl.failure import Failure
from kithctl.files import read_if_there
from svckit.addresses import Bind

DEFAULT_ADDRESS = "127.0.0.1:50052"

ServiceOption = Annotated[
    str | None,
    typer.Option(
        "--service",
        envvar="KITH_EVENT_ADDRESS",
        metavar="HOST:PORT",
        help="The event service; by default the one that `kith up` started, else "
        f"{DEFAULT_ADDRESS}. Its token, where it wants one, is read from KITH_SERVICE_TOKEN.",
    ),
]
Credential = tuple[tuple[str, str], ...]


@contextmanager
def open_events(address: str | None, home: Path) -> Iterator[tuple[EventServiceStub, Credential]]:
    """A stub of the event service, and what to show to it; what it refuses becomes a Failure."""
    target = address or _started(home) or DEFAULT_ADDRESS
    token = os.environ.get("KITH_SERVICE_TOKEN")
    credential = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(target) as channel:
        try:
            yield EventServiceStub(channel), credential
        except grpc.RpcError as error:
            raise Failure(_described(error, target)) from error


def _described(error: grpc.RpcError, target: str) -> str:
    # Whatever a call raises is a call, too.
    assert isinstance(error, grpc.Call)
    match error.code():
        case grpc.StatusCode.UNAUTHENTICATED:
            return f"the event service at {target} wants its token: set KITH_SERVICE_TOKEN"
        case grpc.StatusCode.UNAVAILABLE if not error.trailing_metadata():
            return f"no event service answers at {target}"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"the event service at {target} did not answer in time; the same command goes on"
        case _:
            return f"the event service at {target}: {error.details()}"


def _started(home: Path) -> str | None:
    """The address of the event service that runs in a home, None where none does."""
    running = read_if_there(home / "addresses.json")
    if running is None:
        return None
    return str(Bind.parse(json.loads(running)["processes"]["event"]["address"]).reachable)
