"""Items, requests and parts that fail on command, for the tests of the knowledge service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import asyncpg
import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2_grpc
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.__main__ import SERVICE, assemble
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.adapters.wordllama import WordLlamaEmbedder
from knowledge_svc.backends import Backends
from knowledge_svc.domain.integrity import Care
from knowledge_svc.domain.items import (
    Entry,
    Filter,
    IdPage,
    Indexed,
    Match,
    NewItem,
    Space,
    Vector,
)
from knowledge_svc.pace import Pace
from knowledge_svc.ports.items import Calibration, Embedder, Purpose, VectorIndex
from knowledge_svc.ports.searching import Reranker
from knowledge_svc.terms import terms_of
from svckit import ids, structs
from svckit.stores import Store
from tests.support.blobs import blobs_of
from tests.support.cluster import Database
from tests.support.services import channel_to, running

Stub = knowledge_service_pb2_grpc.KnowledgeServiceStub

# For tests that would otherwise wait for a lease or a second try.
QUICK = Pace(lease_seconds=0.3, poll_seconds=0.05, retry_seconds=0.01, deletion_seconds=0.3)
QUICK_CARE = Care(settle_seconds=0.06, patience_seconds=2.0)


@cache
def wordllama() -> WordLlamaEmbedder:
    """The local embedder; its model is loaded once for all tests."""
    return WordLlamaEmbedder()


def an_entry(content: str = "The cat sleeps on the warm roof.", **changes: Any) -> Entry:
    """An item as the store takes it."""
    given = {"knowledge_id": ids.new(), "content": content, **changes}
    return Entry(NewItem(**given), terms_of(content))


def a_request(
    content: str = "The cat sleeps on the warm roof.",
    *,
    metadata: dict[str, Any] | None = None,
    **changes: Any,
) -> pb.StoreKnowledgeRequest:
    """A request to store content."""
    item = knowledge_pb2.NewKnowledge(content=content, **changes)
    if metadata is not None:
        item.metadata.CopyFrom(structs.from_dict(metadata))
    return pb.StoreKnowledgeRequest(item=item)


@asynccontextmanager
async def knowledge_service(
    database: Database,
    *,
    embedder: Embedder | None = None,
    index: Callable[[VectorIndex], VectorIndex] = lambda index: index,
    pace: Pace = QUICK,
    reranker: Reranker | None = None,
    **parts: Any,
) -> AsyncIterator[Stub]:
    """A running service on pgvector; `index` may put something between, `parts` are backends."""

    def assembled(store: Store) -> Any:
        backends = Backends(
            index(PgvectorIndex(store.functions)),
            embedder or wordllama(),
            **{"blobs": blobs_of(database), "reranker": reranker, **parts},
        )
        return assemble(store, backends, pace)

    async with (
        running(assembled, database, "knowledge") as address,
        channel_to(address) as channel,
    ):
        await eventually(partial(is_serving, channel))
        stub = Stub(channel)
        # For the stubs of the other services of the same process.
        stub.channel = channel
        yield stub


async def is_serving(channel: grpc.aio.Channel) -> bool:
    """Whether the service behind a channel says that it works."""
    health = health_pb2_grpc.HealthStub(channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def eventually(what: Callable[[], Awaitable[Any]], seconds: float = 10.0) -> Any:
    """The first true answer; fails when there is none in time."""
    async with asyncio.timeout(seconds):
        while not (answer := await what()):
            await asyncio.sleep(0.01)
        return answer


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, list[str]]:
    """The code, the reason and the bad fields that a call is refused with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        status = rpc_status.from_call(error)
        reason, bad_fields = "", []
        for detail in status.details if status else ():
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                reason = info.reason
            elif detail.Unpack(bad):
                bad_fields = [violation.field for violation in bad.field_violations]
        return error.code(), reason, bad_fields
    raise AssertionError("the call was not refused")


@dataclass
class FailingEmbedder:
    """The local embedder, which raises what `fault` answers for the texts."""

    fault: Callable[[Sequence[str]], Exception | None]
    model: str = WordLlamaEmbedder.model
    dimension: int = WordLlamaEmbedder.dimension
    calibration: Calibration = WordLlamaEmbedder.calibration
    calls: list[list[str]] = field(default_factory=list)

    async def load(self) -> None:
        await wordllama().load()

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[list[float]]:
        self.calls.append([*texts])
        if error := self.fault(texts):
            raise error
        return await wordllama().embed(texts, purpose)


class GatedIndex:
    """An index whose `upsert` says that it is done, and returns when it may."""

    def __init__(self, index: VectorIndex) -> None:
        self._index = index
        self.upserted = asyncio.Event()
        self.may_return = asyncio.Event()
        self.fault: Exception | None = None

    async def prepare(self, space: Space) -> None:
        await self._index.prepare(space)

    async def drop(self, space: str) -> None:
        await self._index.drop(space)

    async def count(self, space: str) -> int:
        return await self._index.count(space)

    async def upsert(self, space: str, vectors: Sequence[Vector]) -> None:
        await self._index.upsert(space, vectors)
        self.upserted.set()
        await self.may_return.wait()

    async def delete(self, space: str, ids: Sequence[str]) -> None:
        if self.fault:
            raise self.fault
        await self._index.delete(space, ids)

    async def discard(self, space: str, ids: Sequence[str]) -> None:
        if self.fault:
            raise self.fault
        await self._index.discard(space, ids)

    async def delete_where(self, space: str, narrow: Filter) -> None:
        if self.fault:
            raise self.fault
        await self._index.delete_where(space, narrow)

    async def ids(self, space: str, *, after: str | None, limit: int) -> IdPage:
        if self.fault:
            raise self.fault
        return await self._index.ids(space, after=after, limit=limit)

    async def fetch(self, space: str, ids: Sequence[str]) -> Sequence[Indexed]:
        if self.fault:
            raise self.fault
        return await self._index.fetch(space, ids)

    async def nearest(
        self,
        space: str,
        query: Sequence[float],
        *,
        limit: int,
        narrow: Filter,
        ids: Sequence[str] | None = None,
    ) -> Sequence[Match]:
        if self.fault:
            raise self.fault
        return await self._index.nearest(space, query, limit=limit, narrow=narrow, ids=ids)


@asynccontextmanager
async def as_administrator(database: Database) -> AsyncIterator[Any]:
    """A connection that may do anything, to look behind the service and to play tricks."""
    connection = await asyncpg.connect(database.url())
    try:
        yield connection
    finally:
        await connection.close()
