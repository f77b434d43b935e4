"""The services behind a gateway, for tests that look past it."""

from collections.abc import AsyncIterator

import pytest

from gateway.clients import Clients, connected
from tests.support.stack import Stack


@pytest.fixture
async def clients(stack: Stack) -> AsyncIterator[Clients]:
    """The services themselves."""
    async with connected(stack.settings()) as opened:
        yield opened
