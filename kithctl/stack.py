"""Everything that `kith up` runs, in the order in which it starts and ends."""

import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kithctl import ports
from kithctl.claim import Claim
from kithctl.embedded import EmbeddedPostgres
from kithctl.output import Output
from kithctl.schema import migrate_all
from kithctl.service import GATEWAY, SERVICES, Service, ServiceProcess, binds_of
from kithctl.supervisor import ProcessSpec, Supervisor
from svckit.addresses import Bind

_POSTGRES = "postgres"
_OF_ALL, _OF_ONE = "KITH_DATABASE_URL", "_DATABASE_URL"
# A postmaster that was killed may leave backends that take a moment to notice.
_POSTGRES_ATTEMPTS = 6


@dataclass(frozen=True)
class Plan:
    """What to run; the tests have plans of their own."""

    services: Sequence[Service] = SERVICES
    gateway: Service = GATEWAY
    migrate: Callable[[str], Awaitable[object]] = migrate_all
    first_port: int | None = None


class Stack:
    """A plan being carried out: Postgres, then the services, then the gateway."""

    def __init__(
        self,
        plan: Plan,
        home: Path,
        claim: Claim,
        output: Output,
        progress: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._home = home
        self._claim = claim
        self._progress = progress
        self._supervisor = Supervisor(output, self._publish)
        self._postgres: EmbeddedPostgres | None = None
        self._run_folder = home / "run"
        self._complete = False

        self._binds = {
            service.name: binds_of(service, os.environ, ports.chosen(plan.first_port))
            for service in (*plan.services, plan.gateway)
        }
        self.services = [
            self._process(service, self._service_variables) for service in plan.services
        ]
        self.gateway = self._process(plan.gateway, self._gateway_variables)

    async def start(self) -> None:
        """Start everything; return when all of it is healthy."""
        for binds in self._binds.values():
            ports.refuse_taken(binds)
        shutil.rmtree(self._run_folder, ignore_errors=True)
        self._run_folder.mkdir(mode=0o700)

        await self._open_database()
        self._progress("starting the services")
        await self._supervisor.start(*(process.spec() for process in self.services))
        self._progress("starting the gateway")
        await self._supervisor.start(self.gateway.spec())
        self._complete = True
        self._publish()

    async def stop(self) -> None:
        """End everything, the gateway first, and leave nothing behind but the data."""
        self._complete = False
        await self._supervisor.stop()
        if self._postgres is not None:
            self._postgres.close()
        shutil.rmtree(self._run_folder, ignore_errors=True)
        self._claim.withdraw()

    def force(self) -> None:
        """End everything now."""
        self._supervisor.force()

    async def _open_database(self) -> None:
        """Have a database with the schemas in it, unless another store is configured."""
        url = await self._start_postgres() if brings_postgres() else _database_to_migrate()
        if url is not None:
            self._progress("migrating the database")
            await self._plan.migrate(url)

    async def _start_postgres(self) -> str:
        self._progress("preparing Postgres")
        postgres = EmbeddedPostgres(self._home, progress=self._progress)
        await postgres.prepare()
        self._progress("starting Postgres")
        self._postgres = postgres
        await self._supervisor.start(
            ProcessSpec(_POSTGRES, postgres.command, postgres.wait_until_ready, _POSTGRES_ATTEMPTS)
        )
        return postgres.url()

    def _process(
        self, service: Service, variables: Callable[[Service], Mapping[str, str]]
    ) -> ServiceProcess:
        return ServiceProcess(
            service, self._run_folder, self._binds[service.name], lambda: variables(service)
        )

    def _service_variables(self, service: Service) -> dict[str, str]:
        """A service logs in with its own role, which can do nothing but call its functions."""
        variables = {"KITH_HOME": str(self._home)}
        its_own = f"{service.variable}{_OF_ONE}"
        if self._postgres is not None and its_own not in os.environ:
            variables[its_own] = self._postgres.url(role=f"kith_{service.name}")
        return variables

    def _gateway_variables(self, service: Service) -> dict[str, str]:
        addresses = {
            f"KITH_{process.name.upper()}_ADDRESS": str(process.reachable_address)
            for process in self.services
        }
        return {"KITH_HOME": str(self._home), **addresses}

    def _publish(self) -> None:
        """Say what runs where; again after a restart, since that changes the process."""
        if not self._complete:
            return
        pids = self._supervisor.pids
        processes: dict[str, Any] = {
            process.name: {
                "pid": pids.get(process.name),
                "address": _text(process.address),
                "metrics_address": _text(process.metrics_address),
            }
            for process in (*self.services, self.gateway)
        }
        running = {"pid": os.getpid(), "home": str(self._home), "processes": processes}
        if self._postgres is not None:
            processes[_POSTGRES] = {"pid": pids.get(_POSTGRES)}
            running["database_url"] = self._postgres.url()
        self._claim.publish(running)


def brings_postgres() -> bool:
    """Whether the database is the embedded one: where nothing else is configured."""
    if _store() != "postgres" or os.environ.get(_OF_ALL):
        return False
    return not all(os.environ.get(f"{service.variable}{_OF_ONE}") for service in SERVICES)


def _database_to_migrate() -> str | None:
    """One that is configured for all; a service with its own looks after it by itself, and over
    REST nothing is migrated.
    """
    return os.environ.get(_OF_ALL) if _store() == "postgres" else None


def _store() -> str:
    """The store that the services will choose; see `svckit.settings`."""
    default = "supabase" if os.environ.get("SUPABASE_URL") else "postgres"
    return os.environ.get("KITH_STORE") or default


def _text(bind: Bind | None) -> str | None:
    return None if bind is None else str(bind)
