"""Which process a command talks to: the one it is told, else the one that `kith up` started."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer

from kithctl.failure import Failure
from kithctl.files import read_if_there
from svckit.addresses import Bind

HomeOption = Annotated[
    Path, typer.Option(envvar="KITH_HOME", help="Where `kith up` says what runs.")
]
Credential = tuple[tuple[str, str], ...]


def started(home: Path, process: str) -> str | None:
    """The address of a process that runs in a home, None where none does."""
    published = home / "addresses.json"
    try:
        running = read_if_there(published)
    except OSError as error:
        raise Failure(f"cannot read {published}: {error.strerror}") from None
    if running is None:
        return None
    return str(Bind.parse(json.loads(running)["processes"][process]["address"]).reachable)


def service_option(service: str, default_address: str) -> Any:
    """The option that says which service is meant."""
    return typer.Option(
        "--service",
        envvar=f"KITH_{service.upper()}_ADDRESS",
        metavar="HOST:PORT",
        help=f"The {service} service; by default the one that `kith up` started, else "
        f"{default_address}. Its token, where it wants one, is read from KITH_SERVICE_TOKEN.",
    )


@contextmanager
def open_channel(
    service: str,
    address: str,
    meanings: Mapping[grpc.StatusCode, str],
    *,
    options: Sequence[tuple[str, Any]] = (),
    exit_status: int = 1,
) -> Iterator[tuple[grpc.Channel, Credential]]:
    """A channel for the stubs of a service, and what to show to it with each call.

    What it refuses becomes a Failure; `meanings` has what a code means to the command, where the
    service does not say that itself.
    """
    token = os.environ.get("KITH_SERVICE_TOKEN")
    credential = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(address, options=options) as channel:
        try:
            yield channel, credential
        except grpc.RpcError as error:
            described = _described(error, service, address, meanings)
            raise Failure(described, exit_status=exit_status) from error


def _described(
    error: grpc.RpcError, service: str, address: str, meanings: Mapping[grpc.StatusCode, str]
) -> str:
    # Whatever a call raises is a call, too.
    assert isinstance(error, grpc.Call)
    match error.code():
        case grpc.StatusCode.UNAUTHENTICATED:
            return f"the {service} service at {address} wants its token: set KITH_SERVICE_TOKEN"
        case grpc.StatusCode.UNAVAILABLE if not error.trailing_metadata():
            return f"no {service} service answers at {address}"
        case code if code in meanings:
            return f"the {service} service at {address} {meanings[code]}"
        case _:
            return f"the {service} service at {address}: {error.details()}"
