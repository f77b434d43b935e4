"""One model gives way to another while everything goes on."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import index_service_pb2 as pb
from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as knowledge_pb
from knowledge_svc import __main__ as process
from knowledge_svc.adapters.pinecone import PineconePlace, open_pinecone
from knowledge_svc.domain.items import space_of
from knowledge_svc.ports.items import VectorIndex
from svckit import logs
from tests.support import pinecone
from tests.support.cluster import Database
from tests.support.embedders import NamedEmbedder
from tests.support.knowledge import as_administrator, eventually, refusal
from tests.support.reindexing import (
    Replica,
    contents,
    name_of,
    replace,
    replica,
    settled,
    vectors,
)

OLD, NEW = NamedEmbedder("old", 16), NamedEmbedder("new", 24)


@asynccontextmanager
async def two_replicas(database: Database, *embedders: NamedEmbedder) -> AsyncIterator[Any]:
    async with (
        replica(database, *embedders) as one,
        replica(database, *embedders) as other,
    ):
        yield one, other


class Traffic:
    """Writes, changes, deletes and searches through replicas until told to stop."""

    def __init__(self, database: Database, replicas: list[Replica], landmark: str) -> None:
        self._database = database
        self._replicas = replicas
        self._landmark = landmark
        self._stopped = False
        self._numbers = itertools.count()
        self._ids: list[str] = []
        self.searches: list[knowledge_pb.SearchKnowledgeResponse] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Traffic"]:
        async with asyncio.TaskGroup() as group:
            for one in self._replicas:
                group.create_task(self._store(one))
                group.create_task(self._delete(one))
                group.create_task(self._search(one))
            group.create_task(self._change())
            yield self
            self._stopped = True

    async def _store(self, one: Replica) -> None:
        while not self._stopped:
            self._ids += await one.store(*(f"text {next(self._numbers)}" for _ in range(5)))
            await asyncio.sleep(0.01)

    async def _change(self) -> None:
        while not self._stopped:
            if self._ids:
                text = f"changed {next(self._numbers)}"
                await replace(self._database, random.choice(self._ids), text)
            await asyncio.sleep(0.005)

    async def _delete(self, one: Replica) -> None:
        while not self._stopped:
            if len(self._ids) > 20:
                await one.delete(self._ids.pop(random.randrange(len(self._ids))))
            await asyncio.sleep(0.02)

    async def _search(self, one: Replica) -> None:
        while not self._stopped:
            self.searches.append(await one.meant(self._landmark))
            await asyncio.sleep(0)


async def ensure_whole(database: Database, embedder: NamedEmbedder) -> None:
    """Each live item has a vector of what it says now, and nothing else has one."""
    held, said = await vectors(database, name_of(embedder)), await contents(database)
    assert held.keys() == said.keys()
    for knowledge_id, content in said.items():
        assert held[knowledge_id] == pytest.approx(embedder.vector(content), abs=1e-4), content


async def test_everything_goes_on_while_a_space_is_built_cut_over_rolled_back_and_dropped(database):
    async with two_replicas(database, OLD, NEW) as (one, other):
        await one.store("landmark", *(f"before {number}" for number in range(1_500)))
        await settled(database)
        async with Traffic(database, [one, other], "landmark").running() as traffic:
            assert (await other.start()).started
            await one.caught_up()
            await other.cut_over(name_of(NEW))
            half = len(traffic.searches)
            await asyncio.sleep(0.3)
            await other.caught_up(name_of(OLD))
            rolled_back = await one.index.RollBack(pb.RollBackRequest())
            await asyncio.sleep(0.3)
            await one.caught_up(name_of(NEW))
            await one.cut_over(name_of(NEW))
        await settled(database)
        await ensure_whole(database, OLD)
        await ensure_whole(database, NEW)
        assert rolled_back.space.space == name_of(OLD)
        # Each search compared a query with vectors of the same model: the landmark is itself.
        assert half > 10 and len(traffic.searches) > half + 10
        for found in traffic.searches:
            assert not found.degraded
            assert found.hits[0].item.content == "landmark"
            assert found.hits[0].scores.semantic == pytest.approx(1.0, abs=1e-4)

        await one.index.DropSpace(pb.DropSpaceRequest(space=name_of(OLD)))
        await eventually(lambda: is_gone(database, name_of(OLD)))
        [found] = (await one.meant("landmark")).hits
        assert found.item.embedding_model == "new"
        assert found.item.index_state == knowledge_pb2.INDEX_STATE_INDEXED


async def is_gone(database: Database, space: str) -> bool:
    async with as_administrator(database) as admin:
        return bool(
            await admin.fetchval(
                """SELECT to_regclass('knowledge.vectors_' || $1) IS NULL AND NOT EXISTS (
                       SELECT FROM knowledge.spaces s WHERE s.space = $1)""",
                space,
            )
        )
