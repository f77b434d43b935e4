"""The three real services in the test's process, over one database, and gateways in front of them.

A service keeps its port when it is stopped and started again, as a deployed one would.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

import event_svc.__main__
import identity_svc.__main__
import knowledge_svc.__main__
from gateway.app import Gateway, open_gateway
from gateway.settings import Settings
from kith.knowledge.v1 import knowledge_service_pb2
from kith.knowledge.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.adapters.wordllama import WordLlamaEmbedder
from knowledge_svc.backends import Backends
from svckit import serve
from svckit.addresses import Bind
from svckit.stores import Store
from tests.support import quick_routes
from tests.support.blobs import blobs_of
from tests.support.cluster import Database
from tests.support.extractor import SentenceExtractor
from tests.support.http import serving
from tests.support.knowledge import QUICK_CARE
from tests.support.services import channel_to, store_of

quick_routes.keep()

# Loaded once; it has no state.
EMBEDDER = WordLlamaEmbedder()


def _knowledge(store: Store, database: Database) -> serve.Service:
    index = PgvectorIndex(store.functions)
    backends = Backends(index, EMBEDDER, blobs_of(database), extractor=SentenceExtractor())
    return knowledge_svc.__main__.assemble(store, backends, care=QUICK_CARE)


ASSEMBLE: dict[str, Callable[[Store, Database], serve.Service]] = {
    "identity": lambda store, _: identity_svc.__main__.assemble(store),
    "event": lambda store, _: event_svc.__main__.assemble(store),
    "knowledge": _knowledge,
}

# What tests would otherwise wait for.
QUICK: dict[str, Any] = {
    "catch_up": False,
    "catch_up_grace_seconds": 0.0,
    "catch_up_poll_seconds": 0.02,
    "erasure_poll_seconds": 0.05,
}


class Replica:
    """One running service, or the place of one that is stopped."""

    def __init__(self, name: str, database: Database) -> None:
        self._name = name
        self._database = database
        self._running: AsyncExitStack | None = None
        self.address = Bind("127.0.0.1", 0)

    @property
    def is_running(self) -> bool:
        """Whether it has been started, and not stopped since."""
        return self._running is not None

    async def start(self) -> None:
        """Serve; on the port of the time before, if there was one."""
        stack = AsyncExitStack()
        store = await stack.enter_async_context(store_of(self._database, self._name))
        started = await serve.start(ASSEMBLE[self._name](store, self._database), self.address)
        stack.push_async_callback(started.stop, 1)
        self.address = started.address
        self._running = stack

    async def stop(self) -> None:
        """Be gone; stopping what is stopped is fine."""
        if self._running is not None:
            running, self._running = self._running, None
            await running.aclose()


class Stack:
    """Services by name; each may have several replicas."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._replicas: dict[str, list[Replica]] = {name: [] for name in ASSEMBLE}

    async def start(self, name: str) -> None:
        """Start the replicas of a service that are stopped, or a first one."""
        if not self._replicas[name]:
            await self.add_replica(name)
        for replica in self._replicas[name]:
            if not replica.is_running:
                await replica.start()

    async def add_replica(self, name: str) -> None:
        """One more process of a service, over the same schema."""
        replica = Replica(name, self._database)
        self._replicas[name].append(replica)
        await replica.start()

    async def stop(self, *names: str) -> None:
        """Stop all replicas of these services, or of all."""
        for name in names or tuple(ASSEMBLE):
            for replica in self._replicas[name]:
                await replica.stop()

    async def stop_replica(self, name: str, index: int) -> None:
        """Stop one of several."""
        await self._replicas[name][index].stop()

    async def delete_knowledge(self, knowledge_id: str) -> None:
        """Delete an item, as whoever manages knowledge does."""
        async with channel_to(str(self._replicas["knowledge"][0].address)) as channel:
            stub = KnowledgeServiceStub(channel)
            request = knowledge_service_pb2.DeleteKnowledgeRequest(knowledge_id=knowledge_id)
            assert (await stub.DeleteKnowledge(request)).deleted

    def target(self, name: str) -> str:
        """Where gRPC finds the replicas of a service."""
        return "ipv4:" + ",".join(str(replica.address) for replica in self._replicas[name])

    def settings(self, **changes: Any) -> Settings:
        """The settings of a gateway in front of these services."""
        targets = {f"{name}_address": self.target(name) for name in ASSEMBLE}
        return Settings(**{**QUICK, **targets, **changes})

    @asynccontextmanager
    async def gateway(self, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        """A client of a gateway of its own; `changes` are to its settings."""
        async with open_gateway(self.settings(**changes)) as opened, client_of(opened) as client:
            yield client

    @asynccontextmanager
    async def listening(self, **changes: Any) -> AsyncIterator[str]:
        """The URL of a gateway on a real port, for what streams both ways at once."""
        async with (
            open_gateway(self.settings(**changes)) as gateway,
            serving(gateway.app) as url,
        ):
            yield url


def client_of(gateway: Gateway, base_url: str = "http://localhost") -> httpx.AsyncClient:
    """A client that calls the app itself."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(gateway.app), base_url=base_url)


@asynccontextmanager
async def running_stack(database: Database) -> AsyncIterator[Stack]:
    """All three services, stopped at the end whatever the test did to them."""
    stack = Stack(database)
    try:
        for name in ASSEMBLE:
            await stack.start(name)
        yield stack
    finally:
        await stack.stop()


@pytest.fixture
async def stack(database: Database) -> AsyncIterator[Stack]:
    """The three services over the test's database."""
    async with running_stack(database) as running:
        yield running


@pytest.fixture
async def gateway(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A client of one gateway in front of them."""
    async with stack.gateway() as client:
        yield client
