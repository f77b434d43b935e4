"""One embedded Postgres for a test session, and a fresh database for each test."""

import asyncio
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from kithctl.embedded import EmbeddedPostgres
from svckit import migrate

T = TypeVar("T")

SERVICES = {"identity_svc": "identity", "event_svc": "event", "knowledge_svc": "knowledge"}
TEMPLATE = "kith_template"
MEMORY_BYTES = 2 << 30

# Durability is what the system tests are for; these are for speed.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


# How many locks somebody waits for in this database; others come and go beside it.
WAITING = """SELECT count(*) FROM pg_locks WHERE NOT granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


@dataclass(frozen=True)
class Database:
    """A database with all three schemas in it and nothing else."""

    postgres: EmbeddedPostgres
    name: str

    def url(self, role: str = "postgres") -> str:
        """Where it is, for a role: `postgres`, or a service's login role."""
        return self.postgres.url(role=role, database=self.name)


@asynccontextmanager
async def administrator(database: Database) -> AsyncIterator[Any]:
    """A connection that may do everything, to arrange what no function does."""
    connection = await asyncpg.connect(database.url())
    try:
        yield connection
    finally:
        await connection.close()


class Cluster:
    """The session's Postgres; it lives in a thread with a loop of its own."""

    def __init__(self, postgres: EmbeddedPostgres, loop: asyncio.AbstractEventLoop) -> None:
        self.postgres = postgres
        self._loop = loop
        self._numbers = itertools.count(1)
        self._next: asyncio.Task[str] | None = None
        self._going_on: set[asyncio.Task[Any]] = set()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the cluster's loop, from outside of it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    @contextmanager
    def database(self, template: str = TEMPLATE) -> Iterator[Database]:
        """A database of one's own, dropped some time later whoever is still connected."""
        name = self.run(self._taken(template))
        try:
            yield Database(self.postgres, name)
        finally:
            # Postgres pauses until the last connection is gone; nobody has to wait for that.
            self._spawn(self._execute(f"DROP DATABASE {name} WITH (FORCE)"))

    @contextmanager
    def filled(self, fill: Callable[[Any], Awaitable[None]]) -> Iterator[Database]:
        """A database that an administrator's connection has filled, for who only reads."""

        async def with_administrator(database: Database) -> None:
            async with administrator(database) as connection:
                await fill(connection)

        with self.database() as database:
            self.run(with_administrator(database))
            yield database

    async def settle(self) -> None:
        """Return when nothing is being made or dropped any more; raises what went wrong."""
        while self._going_on:
            await asyncio.gather(*self._going_on)

    async def _taken(self, template: str) -> str:
        """A copy of a template; of the usual one the next is made while a test uses this one."""
        if template != TEMPLATE:
            return await self._copied(template)
        made, self._next = self._next, None
        name = await (made or self._copied(template))
        self._next = self._spawned(self._copied(template))
        return name

    async def _copied(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        self._loop.call_soon_threadsafe(self._spawned, work)

    def _spawned(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(work)
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)
        return task

    async def make_template(self) -> None:
        """Migrate the database that all the others are copied from."""
        # What Supabase has: the role that PostgREST acts as for a service key.
        await self._execute("CREATE ROLE service_role NOLOGIN BYPASSRLS")
        await self._execute(f"CREATE DATABASE {TEMPLATE}")
        url = self.postgres.url(role="postgres", database=TEMPLATE)
        for package, schema in SERVICES.items():
            if (Path(package) / "migrations").is_dir():
                await migrate.migrate(url, package, schema)

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.postgres.url(role="postgres", database="postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _memory() -> str | None:
    """A folder in memory where there is one: a database for each test is many small files."""
    shared = Path("/dev/shm")
    # In a container it may be there and tiny.
    if os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > MEMORY_BYTES:
        return str(shared)
    return None


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A cluster in a temporary folder, gone at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="cluster", daemon=True)
    thread.start()
    with tempfile.TemporaryDirectory(prefix="kith-test-", dir=_memory()) as home:
        postgres = EmbeddedPostgres(Path(home), settings=FAST)
        cluster = Cluster(postgres, loop)
        cluster.run(postgres.__aenter__())
        try:
            cluster.run(cluster.make_template())
            yield cluster
            cluster.run(cluster.settle())
        finally:
            cluster.run(postgres.__aexit__(None, None, None))
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
