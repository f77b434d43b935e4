"""The ports that `kith up` listens on."""

import socket
from collections.abc import Callable, Mapping

from kithctl.failure import Failure
from svckit.addresses import Bind

_IN_ORDER = (8080, 50051, 50052, 50053, 9101, 9102, 9103)


def chosen(first: int | None) -> Callable[[int], int]:
    """From a default port to the one to use: itself; for 0, one that the system chooses; for
    another number, one of those that follow it.
    """
    if first is None:
        return lambda port: port
    if first == 0:
        return lambda port: 0
    return lambda port: first + _IN_ORDER.index(port)


def refuse_taken(binds: Mapping[str, Bind]) -> None:
    """Fail, naming the variable to change, where another program has a port."""
    for variable, bind in binds.items():
        if bind.port == 0:
            continue
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                bind.host, bind.port, type=socket.SOCK_STREAM
            )[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            raise Failure(
                f"cannot listen on {bind} ({error.strerror}): "
                f"set {variable} to another address, or use --ports 0"
            ) from None
