"""Addresses to bind to, and the file in which a process says which ones it got."""

import ipaddress
import json
import os
from pathlib import Path
from typing import NamedTuple

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class Bind(NamedTuple):
    """A host and a port; port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Bind":
        """`host:port` or `[v6]:port`; raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not (colon and port.isdigit() and int(port) < 65536):
            raise ValueError(f"{text!r} is not host:port")
        return cls(host.strip("[]"), int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def reachable(self) -> "Bind":
        """Where to call it from this machine, also if it listens everywhere."""
        return self._replace(host=_EVERYWHERE.get(self.host, self.host))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def announce(address: Bind, metrics_address: Bind | None = None) -> None:
    """Write the addresses to the file that `KITH_ADDRESS_FILE` names, if it names one.

    Whoever started this process with port 0 learns the port from there.
    """
    name = os.environ.get("KITH_ADDRESS_FILE")
    if not name:
        return
    file = Path(name)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    unfinished.write_text(
        json.dumps(
            {
                "address": str(address),
                "metrics_address": str(metrics_address) if metrics_address else None,
            }
        )
    )
    unfinished.replace(file)
