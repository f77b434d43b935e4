"""Which gateway a command talks to: the one it is told, else the one that `kith up` has started."""

import os
from pathlib import Path
from typing import Annotated

import typer

from kithctl.failure import Failure
from kithctl.importing.gateway import Gateway, OnPause
from kithctl.target import started

DEFAULT_URL = "http://127.0.0.1:8080"

GatewayOption = Annotated[
    str | None,
    typer.Option(
        "--gateway",
        metavar="URL",
        help=f"The gateway; by default the one that `kith up` started, else {DEFAULT_URL}. "
        "Its API key, where it wants one, is read from KITH_API_KEY.",
    ),
]


def open_gateway(url: str | None, home: Path, on_pause: OnPause = lambda _, __: None) -> Gateway:
    """The gateway to call, which answers just now; raises Failure where nothing does."""
    key = os.environ.get("KITH_API_KEY")
    if key and not (key.isascii() and key.isprintable()):
        raise Failure("KITH_API_KEY: holds a character that no header can carry, or a line's end")
    gateway = Gateway(url or _started(home) or DEFAULT_URL, key, on_pause=on_pause)
    gateway.check()
    return gateway


def _started(home: Path) -> str | None:
    """The URL of the gateway that runs in a home, None where none does."""
    address = started(home, "gateway")
    return f"http://{address}" if address else None
