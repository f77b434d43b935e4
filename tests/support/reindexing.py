"""Replicas of the knowledge service with a next embedder, and what their spaces hold."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from kith.knowledge.v1 import index_service_pb2 as pb
from kith.knowledge.v1 import index_service_pb2_grpc
from kith.knowledge.v1 import knowledge_service_pb2 as knowledge_pb
from knowledge_svc.__main__ import assemble
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.backends import Backends
from knowledge_svc.domain.items import space_of
from knowledge_svc.pace import Pace
from knowledge_svc.ports.items import Embedder, VectorIndex
from svckit.stores import Store
from tests.support.blobs import blobs_of
from tests.support.cluster import Database
from tests.support.knowledge import Stub, a_request, as_administrator, eventually, is_serving
from tests.support.services import channel_to, running

QUICK = Pace(lease_seconds=1.0, poll_seconds=0.05, retry_seconds=0.01, most_items=32)


def name_of(embedder: Embedder) -> str:
    """The name of the space of an embedder."""
    return space_of(embedder.model, embedder.dimension).name


@dataclass(frozen=True)
class Replica:
    """The services of one process."""

    knowledge: Stub
    index: Any

    @classmethod
    def over(cls, channel: grpc.aio.Channel) -> "Replica":
        """Those behind a channel."""
        return cls(Stub(channel), index_service_pb2_grpc.IndexServiceStub(channel))

    async def start(self) -> pb.StartReindexResponse:
        """Begin to build."""
        answer: pb.StartReindexResponse = await self.index.StartReindex(pb.StartReindexRequest())
        return answer

    async def reread(self) -> pb.StartReindexResponse:
        """Have documents read again."""
        request = pb.StartReindexRequest(documents=True)
        answer: pb.StartReindexResponse = await self.index.StartReindex(request)
        return answer

    async def caught_up(self, space: str = "") -> list[pb.WatchReindexResponse]:
        """What watching says, until the space has caught up."""
        async with asyncio.timeout(30):
            stream = self.index.WatchReindex(pb.WatchReindexRequest(space=space))
            return [answer async for answer in stream]

    async def cut_over(self, space: str) -> pb.Space:
        """Let a space serve."""
        answer: pb.CutOverResponse = await self.index.CutOver(pb.CutOverRequest(space=space))
        return answer.space

    async def store(self, *texts: str) -> list[str]:
        """The ids of new items."""
        results: list[knowledge_pb.StoreKnowledgeResult] = []
        for start in range(0, len(texts), 500):
            requests = [a_request(text) for text in texts[start : start + 500]]
            answer = await self.knowledge.BatchStoreKnowledge(
                knowledge_pb.BatchStoreKnowledgeRequest(requests=requests)
            )
            results += answer.results
        return [result.response.knowledge_id for result in results]

    async def delete(self, knowledge_id: str) -> None:
        """Delete an item."""
        await self.knowledge.DeleteKnowledge(
            knowledge_pb.DeleteKnowledgeRequest(knowledge_id=knowledge_id)
        )

    async def meant(self, text: str) -> knowledge_pb.SearchKnowledgeResponse:
        """What is nearest in meaning."""
        answer: knowledge_pb.SearchKnowledgeResponse = await self.knowledge.SearchKnowledge(
            knowledge_pb.SearchKnowledgeRequest(
                query=text, mode=knowledge_pb.SEARCH_MODE_SEMANTIC, limit=1
            )
        )
        return answer


@asynccontextmanager
async def replica(
    database: Database,
    embedder: Embedder,
    following: Embedder | None = None,
    *,
    index: Callable[[VectorIndex], VectorIndex] = lambda index: index,
    pace: Pace = QUICK,
) -> AsyncIterator[Replica]:
    """A running service."""

    def assembled(store: Store) -> Any:
        backends = Backends(
            index(PgvectorIndex(store.functions)),
            embedder,
            blobs_of(database),
            next_embedder=following,
        )
        return assemble(store, backends, pace)

    async with (
        running(assembled, database, "knowledge") as address,
        channel_to(address) as channel,
    ):
        await eventually(partial(is_serving, channel))
        yield Replica.over(channel)


async def replace(database: Database, knowledge_id: str, content: str) -> None:
    """A new content for an item, as an update makes it."""
    change = {
        "knowledge_id": knowledge_id, "content": content,
        "content_hash": rf"\x{content.encode().hex()}",
        "terms": [], "term_counts": [], "term_total": 0,
    }  # fmt: skip
    async with as_administrator(database) as admin:
        await admin.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=str)
        await admin.execute("SELECT knowledge.replace_items($1)", [change])


async def contents(database: Database) -> dict[str, str]:
    """What the items say, by id; those being deleted, too."""
    async with as_administrator(database) as admin:
        rows = await admin.fetch(
            "SELECT knowledge_id::text, content FROM knowledge.knowledge_items"
        )
    return dict(rows)


async def vectors(database: Database, space: str) -> dict[str, list[float]]:
    """What a space on pgvector holds, by id."""
    async with as_administrator(database) as admin:
        rows = await admin.fetch(
            f"SELECT knowledge_id::text, embedding::text FROM knowledge.vectors_{space}"
        )
    return {row[0]: [float(one) for one in row[1].strip("[]").split(",")] for row in rows}


async def waiting(database: Database) -> int:
    """How many rows of any space wait to be indexed or removed."""
    async with as_administrator(database) as admin:
        count: int = await admin.fetchval(
            "SELECT count(*) FROM knowledge.space_states WHERE state IN ('pending', 'deleting')"
        )
    return count


async def settled(database: Database) -> None:
    """Return when nothing waits in any space; nobody is deleting any more."""
    async with as_administrator(database) as admin:
        await admin.execute(
            "UPDATE knowledge.space_states SET next_attempt_at = now() WHERE state = 'deleting'"
        )

    async def is_settled() -> bool:
        return await waiting(database) == 0

    await eventually(is_settled, seconds=20)
