"""Runs a service in the test's own process, on a real port, behind a real channel."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc

from svckit import serve, stores
from svckit.addresses import Bind
from svckit.calls import DEFAULT_BOUNDS, Bounds
from svckit.stores import Store
from tests.support.cluster import Database


@asynccontextmanager
async def store_of(database: Database, schema: str) -> AsyncIterator[Store]:
    """The store of one schema of a test database, as the service's login role."""

    async def prepared() -> None:
        """The test's database comes migrated."""

    async with stores.open_direct(database.url(f"kith_{schema}"), schema, prepared) as store:
        yield store


@asynccontextmanager
async def running(
    assemble: Callable[[Store], serve.Service],
    database: Database,
    schema: str,
    *,
    token: str | None = None,
    bounds: Bounds = DEFAULT_BOUNDS,
) -> AsyncIterator[str]:
    """The address of a service over a test database; `assemble` is its `__main__`'s."""
    async with store_of(database, schema) as store:
        started = await serve.start(
            assemble(store), Bind("127.0.0.1", 0), token=token, bounds=bounds
        )
        try:
            yield str(started.address)
        finally:
            await started.stop(grace=1)


@asynccontextmanager
async def channel_to(address: str) -> AsyncIterator[grpc.aio.Channel]:
    """A plain channel."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel
