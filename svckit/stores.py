"""Opens the store that a service's settings choose."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from svckit import migrate, sql
from svckit.settings import StoreSettings


@dataclass(frozen=True)
class Store:
    """The functions of a schema, and what makes the schema ready (see `serve.Service`)."""

    functions: sql.SqlFunctions
    prepare: Callable[[], Awaitable[None]]

    async def check(self) -> object:
        """Raise while the store cannot be reached."""
        return await self.functions.call("schema_version")


@asynccontextmanager
async def open_store(settings: StoreSettings, package: str, schema: str) -> AsyncIterator[Store]:
    """The store of one schema, over the transport that the settings choose."""
    if settings.backend == "postgres":
        assert settings.database_url is not None  # the settings' own check
        url = settings.database_url.get_secret_value()
        async with sql.open_pool(url, role=f"kith_{schema}") as pool:
            yield Store(
                sql.AsyncpgFunctions(pool, schema), lambda: migrate.ensure(url, package, schema)
            )
        return

    assert settings.supabase_url is not None
    assert settings.supabase_key is not None
    key = settings.supabase_key.get_secret_value()
    async with sql.open_rest(settings.supabase_url, key) as client:
        functions = sql.RestFunctions(client, schema)

        async def prepare() -> None:
            # Over REST a service never migrates.
            needed = migrate.files(package)[-1][0]
            if int(await functions.call("schema_version")) < needed:
                raise migrate.SchemaBehind(
                    f"schema {schema} is older than version {needed}; run `kith schema`"
                )

        yield Store(functions, prepare)
