"""The gateway's process: settings, app, HTTP server."""

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
import uvloop

from gateway.app import Gateway, open_gateway
from gateway.settings import Settings
from svckit import addresses, logs, settings
from svckit.addresses import Bind

log = logs.get(__name__)

GRACE_SECONDS = 10
# Longer than the idle time of usual proxies, so that they close first.
KEEP_ALIVE_SECONDS = 75


class Server(uvicorn.Server):
    """uvicorn, which stops on SIGTERM and then exits with 0, saying so on /readyz meanwhile."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(
            uvicorn.Config(
                gateway.app, http="httptools", ws="none", lifespan="off",
                log_config=None, access_log=False, server_header=False, proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )  # fmt: skip
        self._gateway = gateway

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own would raise the signal again after the graceful stop.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self._gateway.stop()
        self.should_exit = True


def listen(bind: Bind) -> socket.socket:
    """A listening socket; an address that is taken ends the process with one clear line."""
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    try:
        return socket.create_server((bind.host, bind.port), family=family, backlog=2048)
    except OSError as error:
        print(f"kith gateway: cannot listen on {bind}: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None


async def main() -> None:
    """Serve until told to stop."""
    chosen = settings.load(Settings, "gateway")
    logs.configure("gateway", chosen.log_level)
    listener = listen(chosen.bind)
    bound = Bind(chosen.bind.host, listener.getsockname()[1])
    async with open_gateway(chosen) as gateway:
        addresses.announce(bound)
        log.info("listening", address=str(bound))
        await Server(gateway).serve(sockets=[listener])
        log.info("stopped")


if __name__ == "__main__":
    uvloop.run(main())
