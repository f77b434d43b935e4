"""MemoryService: parse, ask, render."""

from collections.abc import Sequence

from kith.knowledge.v1 import memory_service_pb2 as pb
from knowledge_svc.accesses import Accesses
from knowledge_svc.domain import DOMAIN
from knowledge_svc.domain.memories import MemoryNotFound, Upserted, memory_id
from knowledge_svc.ports.memories import MemoryStore
from knowledge_svc.recalling import Recalling
from knowledge_svc.remembering import Remembering
from knowledge_svc.wire import memories as wire
from svckit import batches, fields, pages, rpc
from svckit.calls import DEFAULT_SECONDS


class Memories:
    """What is remembered of people. Single requests and batches go through the same batcher."""

    def __init__(
        self,
        memories: MemoryStore,
        remembering: Remembering,
        recalling: Recalling,
        accesses: Accesses,
    ) -> None:
        self._memories = memories
        self._remembering = remembering
        self._recalling = recalling
        self._accesses = accesses

    async def UpsertMemories(
        self, request: pb.UpsertMemoriesRequest, context: rpc.Context
    ) -> pb.UpsertMemoriesResponse:
        [outcome] = await self._remembering.upsert([wire.to_upsert(request)])
        if isinstance(outcome, BaseException):
            raise outcome
        return wire.from_upserted(outcome)

    async def BatchUpsertMemories(
        self, request: pb.BatchUpsertMemoriesRequest, context: rpc.Context
    ) -> pb.BatchUpsertMemoriesResponse:
        outcomes = await batches.answer_each(
            wire.to_upserts(request), wire.to_upsert, self._remembering.upsert
        )
        return pb.BatchUpsertMemoriesResponse(results=map(_result, outcomes))

    async def GetMemory(
        self, request: pb.GetMemoryRequest, context: rpc.Context
    ) -> pb.GetMemoryResponse:
        people, key = wire.to_people(request.person_ids), wire.to_key(request.key, "key")
        found = await self._memories.get(people, key)
        if not found:
            raise MemoryNotFound(people[0], key)
        self._accesses.note([found[0].memory_id])
        memory, *shadowed = map(wire.from_memory, found)
        return pb.GetMemoryResponse(memory=memory, shadowed=shadowed)

    async def ListMemories(
        self, request: pb.ListMemoriesRequest, context: rpc.Context
    ) -> pb.ListMemoriesResponse:
        limit = pages.size(request.page_size, default=50, most=500)
        people, chosen = wire.to_people(request.person_ids), wire.to_filter(request)
        sorting = wire.to_sorting(request.order)
        query = wire.to_query(request, people, chosen, sorting)
        after = wire.to_place(request.page_token, query)

        found = await self._memories.page(people, chosen, sorting, after=after, limit=limit + 1)
        memories = pages.fitting(map(wire.from_memory, found[:limit]))
        more = len(memories) < len(found)
        return pb.ListMemoriesResponse(
            memories=memories,
            next_page_token=wire.page_token(found[len(memories) - 1], query) if more else "",
        )

    async def ListMemoryVersions(
        self, request: pb.ListMemoryVersionsRequest, context: rpc.Context
    ) -> pb.ListMemoryVersionsResponse:
        limit = pages.size(request.page_size, default=50, most=500)
        one = memory_id(
            fields.uuid(request.person_id, "person_id"), wire.to_key(request.key, "key")
        )
        before = wire.to_version(request.page_token, one)

        found = await self._memories.versions(one, before=before, limit=limit + 1)
        versions = pages.fitting(map(wire.from_memory, found[:limit]))
        more = len(versions) < len(found)
        return pb.ListMemoryVersionsResponse(
            versions=versions,
            next_page_token=wire.version_token(found[len(versions) - 1]) if more else "",
        )

    async def SearchMemories(
        self, request: pb.SearchMemoriesRequest, context: rpc.Context
    ) -> pb.SearchMemoriesResponse:
        remaining = context.time_remaining()
        seconds = DEFAULT_SECONDS if remaining is None else remaining
        recalled = await self._recalling.recall(wire.to_inquiry(request, seconds))
        self._accesses.note(hit.memory.memory_id for hit in recalled.hits)
        return wire.from_recalled(recalled)

    async def DeleteMemory(
        self, request: pb.DeleteMemoryRequest, context: rpc.Context
    ) -> pb.DeleteMemoryResponse:
        forgettings = wire.to_forgettings(request)
        return pb.DeleteMemoryResponse(deleted=await self._remembering.delete(forgettings))


def _result(outcome: Sequence[Upserted] | BaseException) -> pb.UpsertMemoriesResult:
    if isinstance(outcome, BaseException):
        return pb.UpsertMemoriesResult(error=rpc.status_of(outcome, DOMAIN))
    return pb.UpsertMemoriesResult(response=wire.from_upserted(outcome))
