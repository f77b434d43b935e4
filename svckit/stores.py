"""Opens the store that a service's settings choose."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from svckit import migrate, sql
from svckit.listener import NoNotices, Notices, PostgresNotices
from svckit.realtime import RealtimeNotices
from svckit.settings import StoreSettings


class Listen(Protocol):
    """How a service gets at notices; they end with the store."""

    def __call__(self, channel: str, *, table: str | None = None) -> Notices:
        """Notices of a channel from now on, over a direct connection.

        Over REST nobody can listen to a channel: there, of each update of `table` (which has
        to be in Supabase's publication, see docs/operations.md), or none. To be called on
        the event loop, once for what is listened to; it connects in the background.
        """
        ...


def _listen_to_nothing(channel: str, *, table: str | None = None) -> Notices:
    return NoNotices()


@dataclass(frozen=True)
class Store:
    """The functions of a schema, and what makes the schema ready (see `serve.Service`)."""

    functions: sql.SqlFunctions
    prepare: Callable[[], Awaitable[None]]
    listen: Listen = _listen_to_nothing

    async def check(self) -> object:
        """Raise while the store cannot be reached."""
        return await self.functions.call("schema_version")


@asynccontextmanager
async def open_store(settings: StoreSettings, package: str, schema: str) -> AsyncIterator[Store]:
    """The store of one schema, over the transport that the settings choose."""
    if settings.backend == "postgres":
        assert settings.database_url is not None  # the settings' own check
        url = settings.database_url.get_secret_value()
        opened = open_direct(url, schema, lambda: migrate.ensure(url, package, schema))
    else:
        assert settings.supabase_url is not None
        assert settings.supabase_key is not None
        key = settings.supabase_key.get_secret_value()
        opened = open_over_rest(settings.supabase_url, key, package, schema)
    async with opened as store:
        yield store


@asynccontextmanager
async def open_direct(
    url: str, schema: str, prepare: Callable[[], Awaitable[None]]
) -> AsyncIterator[Store]:
    """The store over connections to Postgres, which act as the schema's login role."""
    role = f"kith_{schema}"
    async with sql.open_pool(url, role=role) as pool, AsyncExitStack() as listeners:

        async def notify(channel: str, payload: str) -> None:
            await pool.execute("SELECT pg_notify($1, $2)", channel, payload)

        def listen(channel: str, *, table: str | None = None) -> Notices:
            notices = PostgresNotices(url, channel, notify, role=role)
            listeners.push_async_callback(notices.close)
            return notices

        yield Store(sql.AsyncpgFunctions(pool, schema), prepare, listen)


@asynccontextmanager
async def open_over_rest(url: str, key: str, package: str, schema: str) -> AsyncIterator[Store]:
    """The store over Supabase's REST interface, with Realtime for notices."""
    async with sql.open_rest(url, key) as client, AsyncExitStack() as listeners:
        functions = sql.RestFunctions(client, schema)

        async def prepare() -> None:
            # Over REST a service never migrates.
            needed = migrate.files(package)[-1][0]
            if int(await functions.call("schema_version")) < needed:
                raise migrate.SchemaBehind(
                    f"schema {schema} is older than version {needed}; run `kith schema`"
                )

        def listen(channel: str, *, table: str | None = None) -> Notices:
            if table is None:
                return NoNotices()
            notices = RealtimeNotices(url, key, schema, table)
            listeners.push_async_callback(notices.close)
            return notices

        yield Store(functions, prepare, listen)
