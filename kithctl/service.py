"""The processes of Kith itself: how each is started, and how it is known to be healthy."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kithctl.child import Command
from kithctl.failure import Failure
from kithctl.files import read_if_there
from kithctl.supervisor import ProcessSpec
from svckit.addresses import Bind
from svckit.healthcheck import serves_grpc, serves_http

_HEALTHY_LIMIT = 120.0
_FIRST_POLL, _LONGEST_POLL = 0.02, 0.25

HealthCheck = Callable[[Bind], Awaitable[bool]]


@dataclass(frozen=True)
class Service:
    """One process of Kith, before anything is known of this run."""

    name: str
    command: Sequence[str]
    port: int
    metrics_port: int | None
    is_healthy: HealthCheck

    @property
    def variable(self) -> str:
        """What its environment variables begin with."""
        return f"KITH_{self.name.upper()}"


def module(package: str) -> tuple[str, ...]:
    """The command that runs a package of ours."""
    return (sys.executable, "-m", package)


SERVICES = (
    Service("identity", module("identity_svc"), 50051, 9101, serves_grpc),
    Service("event", module("event_svc"), 50052, 9102, serves_grpc),
    Service("knowledge", module("knowledge_svc"), 50053, 9103, serves_grpc),
)
GATEWAY = Service("gateway", module("gateway"), 8080, None, serves_http)


class ServiceProcess:
    """A service in this run: where it listens and what it is told.

    Ports that the system chose are kept when the process is started again: others know them.
    """

    def __init__(
        self,
        service: Service,
        folder: Path,
        binds: Mapping[str, Bind],
        environment: Callable[[], Mapping[str, str]],
    ) -> None:
        self._service = service
        self._address_file = folder / f"{service.name}.json"
        self._binds = dict(binds)
        self._environment = environment
        self.address: Bind | None = None
        self.metrics_address: Bind | None = None

    @property
    def name(self) -> str:
        """The service's name."""
        return self._service.name

    @property
    def reachable_address(self) -> Bind:
        """Where to call it; for one that listens everywhere, on this machine."""
        if self.address is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self.address.reachable

    def spec(self) -> ProcessSpec:
        """What the supervisor needs to keep it running."""
        return ProcessSpec(self.name, self._command, self._wait_until_healthy)

    async def _command(self) -> Command:
        self._address_file.unlink(missing_ok=True)
        environment = {
            **os.environ,
            **self._environment(),
            **{variable: str(bind) for variable, bind in self._binds.items()},
            "KITH_ADDRESS_FILE": str(self._address_file),
            "PYTHONUNBUFFERED": "1",
        }
        return Command(self._service.command, environment)

    async def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _HEALTHY_LIMIT
        pause = _FIRST_POLL
        while not (
            self._has_announced() and await self._service.is_healthy(self.reachable_address)
        ):
            if time.monotonic() > deadline:
                raise Failure(f"{self.name} is not healthy after {_HEALTHY_LIMIT:.0f} s")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL)

    def _has_announced(self) -> bool:
        """Read the addresses that it has bound, once it has."""
        text = read_if_there(self._address_file)
        if text is None:
            return False
        announced = json.loads(text)
        self.address = Bind.parse(announced["address"])
        self._binds[f"{self._service.variable}_BIND"] = self.address
        if announced["metrics_address"] is not None:
            self.metrics_address = Bind.parse(announced["metrics_address"])
            self._binds[f"{self._service.variable}_METRICS_BIND"] = self.metrics_address
        return True


def binds_of(
    service: Service, environment: Mapping[str, str], ports: Callable[[int], int]
) -> dict[str, Bind]:
    """Where a service is to listen: as its environment says, else on loopback."""
    wanted = {f"{service.variable}_BIND": service.port}
    if service.metrics_port is not None:
        wanted[f"{service.variable}_METRICS_BIND"] = service.metrics_port
    binds = {}
    for variable, port in wanted.items():
        text = environment.get(variable)
        try:
            binds[variable] = Bind.parse(text) if text else Bind("127.0.0.1", ports(port))
        except ValueError as error:
            raise Failure(f"{variable}: {error}") from None
    return binds
