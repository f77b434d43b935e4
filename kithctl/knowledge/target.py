"""Which knowledge service a command talks to: as told, else the one that `kith up` started."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import grpc
import typer

from kithctl.failure import Failure
from kithctl.files import read_if_there
from svckit.addresses import Bind

DEFAULT_ADDRESS = "127.0.0.1:50053"

ServiceOption = Annotated[
    str | None,
    typer.Option(
        "--service",
        envvar="KITH_KNOWLEDGE_ADDRESS",
        metavar="HOST:PORT",
        help="The knowledge service; by default the one that `kith up` started, else "
        f"{DEFAULT_ADDRESS}. Its token, where it wants one, is read from KITH_SERVICE_TOKEN.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON also at a terminal.")]
Credential = tuple[tuple[str, str], ...]


@contextmanager
def open_knowledge(address: str | None, home: Path) -> Iterator[tuple[grpc.Channel, Credential]]:
    """A channel for the stubs of the knowledge service, and what to show to it.

    What the service refuses becomes a Failure.
    """
    target = address or _started(home) or DEFAULT_ADDRESS
    token = os.environ.get("KITH_SERVICE_TOKEN")
    credential = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(target) as channel:
        try:
            yield channel, credential
        except grpc.RpcError as error:
            raise Failure(_described(error, target)) from error


def _described(error: grpc.RpcError, target: str) -> str:
    # Whatever a call raises is a call, too.
    assert isinstance(error, grpc.Call)
    match error.code():
        case grpc.StatusCode.UNAUTHENTICATED:
            return f"the knowledge service at {target} wants its token: set KITH_SERVICE_TOKEN"
        case grpc.StatusCode.UNAVAILABLE if not error.trailing_metadata():
            return f"no knowledge service answers at {target}"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"the knowledge service at {target} did not answer in time"
        case _:
            return f"the knowledge service at {target}: {error.details()}"


def _started(home: Path) -> str | None:
    """The address of the service that runs in a home, None where none does."""
    running = read_if_there(home / "addresses.json")
    if running is None:
        return None
    return str(Bind.parse(json.loads(running)["processes"]["knowledge"]["address"]).reachable)
