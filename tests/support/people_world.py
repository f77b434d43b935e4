"""The system that a PeopleMachine drives: two gateways, two replicas of identity."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from kith.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from tests.support.cluster import Database
from tests.support.people_machine import World
from tests.support.services import channel_to
from tests.support.stack import running_stack


@asynccontextmanager
async def _opened(database: Database) -> AsyncIterator[World]:
    async with AsyncExitStack() as opened, running_stack(database) as stack:
        await stack.add_replica("identity")
        gateways = [await opened.enter_async_context(stack.gateway()) for _ in range(2)]
        addresses = stack.target("identity").removeprefix("ipv4:").split(",")
        channels = [await opened.enter_async_context(channel_to(each)) for each in addresses]
        stubs = [IdentityServiceStub(channel) for channel in channels]
        yield World(asyncio.get_running_loop(), gateways, stubs)


@contextmanager
def people_world(database: Database) -> Iterator[World]:
    """The system in a loop and a thread of its own, because a machine's steps are plain calls."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="world", daemon=True)
    thread.start()
    opened = _opened(database)
    try:
        yield asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(60)
    finally:
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
