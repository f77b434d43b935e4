"""Which knowledge service a command talks to: the one it is told, else that of `kith up`."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import grpc
import typer

from kith.knowledge.v1.integrity_service_pb2_grpc import IntegrityServiceStub
from kithctl.failure import Failure
from kithctl.files import read_if_there
from svckit.addresses import Bind

DEFAULT_ADDRESS = "127.0.0.1:50053"
# Of 1, scripts know that something is wrong with what is stored.
UNREACHABLE = 2

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
Credential = tuple[tuple[str, str], ...]

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
    target = address or _started(home) or DEFAULT_ADDRESS
    token = os.environ.get("KITH_SERVICE_TOKEN")
    credential = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(target, options=_OPTIONS) as channel:
        try:
            yield IntegrityServiceStub(channel), credential
        except grpc.RpcError as error:
            raise Failure(_described(error, target), exit_status=UNREACHABLE) from error


def _described(error: grpc.RpcError, target: str) -> str:
    # Whatever a call raises is a call, too.
    assert isinstance(error, grpc.Call)
    match error.code():
        case grpc.StatusCode.UNAUTHENTICATED:
            return f"the knowledge service at {target} wants its token: set KITH_SERVICE_TOKEN"
        case grpc.StatusCode.UNAVAILABLE if not error.trailing_metadata():
            return f"no knowledge service answers at {target}"
        case grpc.StatusCode.UNIMPLEMENTED:
            return f"the knowledge service at {target} is older than this command"
        case _:
            return f"the knowledge service at {target}: {error.details()}"


def _started(home: Path) -> str | None:
    """The address of the knowledge service that runs in a home, None where none does."""
    running = read_if_there(home / "addresses.json")
    if running is None:
        return None
    return str(Bind.parse(json.loads(running)["processes"]["knowledge"]["address"]).reachable)
