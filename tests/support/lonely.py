"""A gateway that has no services at all: whatever it does not refuse by itself is a 503."""

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from gateway.app import open_gateway
from gateway.settings import Settings
from tests.support.stack import client_of

NOBODY = "127.0.0.1:1"


# One for all tests of a module: to put one together takes longer than to ask it.
@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lonely() -> AsyncIterator[httpx.AsyncClient]:
    """A client of such a gateway."""
    settings = Settings(
        identity_address=NOBODY, event_address=NOBODY, knowledge_address=NOBODY, catch_up=False
    )
    async with open_gateway(settings) as gateway, client_of(gateway) as client:
        yield client
