"""Which knowledge service a command talks to, and what it says where that does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import grpc
import typer

from kithctl.target import Credential, open_channel, service_option, started

DEFAULT_ADDRESS = "127.0.0.1:50053"

ServiceOption = Annotated[str | None, service_option("knowledge", DEFAULT_ADDRESS)]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON also at a terminal.")]

_MEANINGS = {grpc.StatusCode.DEADLINE_EXCEEDED: "did not answer in time"}


@contextmanager
def open_knowledge(address: str | None, home: Path) -> Iterator[tuple[grpc.Channel, Credential]]:
    """A channel for the stubs of the knowledge service, and what to show to it.

    What the service refuses becomes a Failure.
    """
    target = address or started(home, "knowledge") or DEFAULT_ADDRESS
    with open_channel("knowledge", target, _MEANINGS) as opened:
        yield opened
