"""The embedded Postgres: a server of our own below KITH_HOME, which is there while we are.

    async with EmbeddedPostgres(home) as postgres:
        connection = await asyncpg.connect(postgres.url())

`kith up` does the same step by step, so that its supervisor is the one who runs the process:
`prepare`, then what `command()` gives whenever it has to be started, `wait_until_ready`
each time, and `close` at the end.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT
from types import TracebackType
from typing import Self
from urllib.parse import quote

import asyncpg

from kithctl import account, cluster, leftover, program, sockets
from kithctl.access import SearchGrants
from kithctl.acl import AclUnsupported
from kithctl.child import Child, Command, describe_exit
from kithctl.failure import Failure
from kithctl.folders import make_closed

DATABASE = "kith"

_RECOVERY_LIMIT = 900.0
_SHUTDOWN_LIMIT = 60.0
_PROGRESS_EVERY = 5.0
_FIRST_POLL, _LONGEST_POLL = 0.03, 0.5
_CONNECT_TIMEOUT = 5.0
_ENDING = ((SIGINT, 10.0), (SIGQUIT, 5.0), (SIGKILL, 5.0))
_OLD_BACKENDS = "pre-existing shared memory block"
_NOT_YET = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
    asyncpg.TooManyConnectionsError,
)


class EmbeddedPostgres:
    """One cluster, in `home`/postgres; a second user of the same home is refused.

    `settings` are parameters of Postgres that win over the cluster's postgresql.conf, such as
    `{"fsync": False}` for a test suite. `progress` is told, in a sentence, what takes long.
    """

    def __init__(
        self,
        home: Path,
        *,
        settings: cluster.Settings | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._home = home.resolve()
        self._folder = self._home / "postgres"
        self._data = self._folder / "data"
        self._settings = settings or {}
        self._progress = progress or (lambda sentence: None)
        self._account = account.for_cluster(self._data)
        self._grants: SearchGrants | None = None
        self._socket_folder: Path | None = None
        self._binaries: Path | None = None
        self._lock: int | None = None
        self._child: Child | None = None

    def url(self, role: str = "postgres", database: str = DATABASE) -> str:
        """Where a role finds a database; as libpq and asyncpg read it."""
        host = quote(str(self._socket), safe="/")
        return f"postgresql://{quote(role)}@/{quote(database)}?host={host}&port={cluster.PORT}"

    @property
    def log(self) -> Path:
        """What the server of `async with` has said since its start."""
        return self._folder / "log"

    @property
    def pid(self) -> int:
        """The server's process, under `async with`."""
        if self._child is None:
            raise RuntimeError("not started")
        return self._child.pid

    async def prepare(self) -> None:
        """Everything before the first start: files, rights, and no server of an earlier start."""
        try:
            make_closed(self._home, self._account)
            make_closed(self._folder, self._account)
            self._lock = _lock(self._folder / "lock", self._home)
            self._binaries = self._reachable_binaries() / "bin"
            await self._settle()
            if not cluster.is_there(self._data):
                self._progress("making a new database cluster")
                await cluster.make(
                    self._data,
                    self._binaries,
                    self._account,
                    durable=self._settings.get("fsync") not in (False, "off"),
                )
            cluster.admit_only(self._data, account.current().name, self._account)
            self._socket_folder = sockets.open_folder(self._folder, self._account)
            self._let_in(self._socket_folder.parent)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise Failure(f"cannot prepare Postgres in {self._folder}: {error}") from error
            raise

    async def command(self) -> Command:
        """How the server is run and ended: by a fast shutdown, then by an immediate one.

        To be asked for before each start, since it waits for a server that has lost its parent.
        """
        if self._binaries is None:
            raise RuntimeError("not prepared")
        if self._grants is not None:
            self._grants.renew()
        arguments = cluster.arguments(self._binaries, self._data, self._socket, self._settings)
        command = cluster.command(arguments, self._account)
        return replace(
            command,
            environment={**command.environment, **await self._settle()},
            ending=_ENDING,
            orphaned=SIGINT,
            forced=SIGQUIT,
        )

    async def wait_until_ready(self) -> None:
        """Wait until the database `kith` is there and answers; recovery after a crash may take
        long. It does not notice that the server is gone: whoever started it does.
        """
        pause = _FIRST_POLL
        deadline = time.monotonic() + _RECOVERY_LIMIT
        remind_at = time.monotonic() + _PROGRESS_EVERY
        while True:
            try:
                return await _ensure_database(self)
            except _NOT_YET as error:
                now = time.monotonic()
                if now > deadline:
                    raise Failure(f"Postgres is not ready after {_RECOVERY_LIMIT:.0f} s") from error
                if now > remind_at:
                    self._progress("Postgres is still recovering after a crash")
                    remind_at = now + _PROGRESS_EVERY
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL)

    def close(self) -> None:
        """Leave nothing behind but the data; the server has ended."""
        if self._socket_folder is not None:
            sockets.remove_folder(self._folder)
            self._socket_folder = None
        if self._grants is not None:
            self._grants.revoke()
            self._grants = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def __aenter__(self) -> Self:
        await self.prepare()
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _start(self) -> None:
        """Start the server, again for as long as backends of a killed one are still going."""
        for pause in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 0.0):
            command = await self.command()
            with self.log.open("wb") as output:
                child = self._child = await Child.start(command, output)
            if await child.alive_through(self.wait_until_ready()):
                return
            said = self.log.read_text(errors="replace").strip().splitlines()
            if not (pause and any(_OLD_BACKENDS in line for line in said)):
                raise Failure(f"Postgres {describe_exit(await child.wait())}: {''.join(said[-1:])}")
            await asyncio.sleep(pause)

    async def _stop(self) -> None:
        if self._child is not None:
            await self._child.stop()
            self._child = None
        self.close()

    async def _settle(self) -> Mapping[str, str]:
        return await leftover.settle(self._data, _SHUTDOWN_LIMIT)

    @property
    def _socket(self) -> Path:
        if self._socket_folder is None:
            raise RuntimeError("not prepared")
        return self._socket_folder

    def _reachable_binaries(self) -> Path:
        """The binaries, where the server's user can run them."""
        binaries = program.installed()
        if self._account.uid == os.geteuid():
            return binaries
        self._grants = SearchGrants(self._folder / "grants.json", self._account)
        self._let_in(self._folder)
        try:
            self._grants.ensure(binaries)
            if program.readable_by_all(binaries):
                return binaries
        except AclUnsupported:
            pass  # a copy in KITH_HOME does as well
        return program.copied_into(self._folder, binaries)

    def _let_in(self, folder: Path) -> None:
        if self._grants is None:
            return
        try:
            self._grants.ensure(folder)
        except AclUnsupported as error:
            raise Failure(
                f"user {self._account.name!r}, who runs Postgres because root may not, cannot "
                f"enter {error}, and its file system keeps no access control lists: set "
                "KITH_HOME to a folder that everybody may enter, or start kith as another user"
            ) from error


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, timeout=_CONNECT_TIMEOUT)
    try:
        yield connection
    finally:
        await connection.close(timeout=_CONNECT_TIMEOUT)


def _lock(path: Path, home: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Failure(f"another process is running the Postgres in {home}") from None
    return descriptor


async def _ensure_database(postgres: EmbeddedPostgres) -> None:
    """Make the database `kith`; every new database starts with pgvector in schema `extensions`."""
    async with _connection(postgres.url(database="postgres")) as connection:
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            return
    async with _connection(postgres.url(database="template1")) as connection:
        await connection.execute("CREATE SCHEMA IF NOT EXISTS extensions")
        await connection.execute("GRANT USAGE ON SCHEMA extensions TO PUBLIC")
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA extensions")
    async with _connection(postgres.url(database="postgres")) as connection:
        await connection.execute(f"CREATE DATABASE {DATABASE}")
