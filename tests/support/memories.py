"""Memories, requests and a running MemoryService, for its tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from kith.knowledge.v1 import knowledge_service_pb2_grpc, memory_pb2, memory_service_pb2_grpc
from kith.knowledge.v1 import memory_service_pb2 as pb
from knowledge_svc.__main__ import assemble
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.backends import Backends
from knowledge_svc.domain.memories import NewMemory, Upsert, content_of
from knowledge_svc.ports.items import VectorIndex
from knowledge_svc.ports.memories import MemoryStore
from knowledge_svc.terms import terms_of
from svckit import structs
from svckit.stores import Store
from tests.support.blobs import blobs_of
from tests.support.cluster import Database
from tests.support.knowledge import QUICK, eventually, is_serving, wordllama
from tests.support.services import channel_to, running

Stub = memory_service_pb2_grpc.MemoryServiceStub
ItemStub = knowledge_service_pb2_grpc.KnowledgeServiceStub

ADA, BOB, EVE = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))


@dataclass(frozen=True)
class Services:
    """The two services of a process that know of memories."""

    memories: Any
    items: Any


@asynccontextmanager
async def memory_service(
    database: Database, *, index: Callable[[VectorIndex], VectorIndex] = lambda index: index
) -> AsyncIterator[Services]:
    """A running service on pgvector; `index` may put something between."""

    def assembled(store: Store) -> Any:
        backends = Backends(index(PgvectorIndex(store.functions)), wordllama(), blobs_of(database))
        return assemble(store, backends, QUICK)

    async with (
        running(assembled, database, "knowledge") as address,
        channel_to(address) as channel,
    ):
        await eventually(partial(is_serving, channel))
        yield Services(Stub(channel), ItemStub(channel))


def a_memory(
    key: str = "favourite_food",
    value: str = "ramen with a soft egg",
    *,
    metadata: dict[str, Any] | None = None,
    **changes: Any,
) -> memory_pb2.NewMemory:
    """Something to remember."""
    memory = memory_pb2.NewMemory(key=key, value=value, **changes)
    if metadata is not None:
        memory.metadata.CopyFrom(structs.from_dict(metadata))
    return memory


def to_set(*memories: memory_pb2.NewMemory, person_id: str = ADA) -> pb.UpsertMemoriesRequest:
    """A request to remember them."""
    return pb.UpsertMemoriesRequest(person_id=person_id, memories=memories or [a_memory()])


def a_new_memory(key: str = "food", value: str = "ramen", **changes: Any) -> NewMemory:
    """What is to be remembered."""
    return NewMemory(key, value, **changes)


async def tried(memories: MemoryStore, *upserts: Upsert) -> list[Any]:
    """What a store answers to independent requests."""
    terms = [[terms_of(content_of(m.key, m.value)) for m in one.memories] for one in upserts]
    return await memories.upsert(upserts, terms)
