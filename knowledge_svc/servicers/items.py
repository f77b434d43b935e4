"""KnowledgeService: parse, ask, render."""

from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.domain import DOMAIN
from knowledge_svc.domain.items import Stored
from knowledge_svc.ingest import Ingest
from knowledge_svc.ports.items import ItemStore
from knowledge_svc.search import Search
from knowledge_svc.wire import changes, searching
from knowledge_svc.wire import items as wire
from svckit import batches, fields, pages, rpc
from svckit.calls import DEFAULT_SECONDS


class Items:
    """Single stores and batches go through the same batcher."""

    def __init__(self, items: ItemStore, ingest: Ingest, search: Search) -> None:
        self._items = items
        self._ingest = ingest
        self._search = search

    async def StoreKnowledge(
        self, request: pb.StoreKnowledgeRequest, context: rpc.Context
    ) -> pb.StoreKnowledgeResponse:
        [outcome] = await self._ingest.store([wire.to_item(request)])
        if isinstance(outcome, BaseException):
            raise outcome
        return wire.from_stored(outcome)

    async def BatchStoreKnowledge(
        self, request: pb.BatchStoreKnowledgeRequest, context: rpc.Context
    ) -> pb.BatchStoreKnowledgeResponse:
        requests = fields.batch(request.requests, "requests")
        outcomes = await batches.answer_each(requests, wire.to_item, self._ingest.store)
        return pb.BatchStoreKnowledgeResponse(results=map(_result, outcomes))

    async def GetKnowledge(
        self, request: pb.GetKnowledgeRequest, context: rpc.Context
    ) -> pb.GetKnowledgeResponse:
        item = await self._items.get(fields.uuid(request.knowledge_id, "knowledge_id"))
        return pb.GetKnowledgeResponse(item=wire.from_item(item))

    async def ListKnowledge(
        self, request: pb.ListKnowledgeRequest, context: rpc.Context
    ) -> pb.ListKnowledgeResponse:
        limit = pages.size(request.page_size, default=50, most=500)
        chosen = wire.to_filter(request.filter)
        query = wire.to_query(request, chosen)
        before = wire.to_place(request.page_token, query)

        found = await self._items.page(chosen, before=before, limit=limit + 1)
        items = pages.fitting(map(wire.from_item, found[:limit]))
        more = len(items) < len(found)
        return pb.ListKnowledgeResponse(
            items=items,
            next_page_token=wire.page_token(found[len(items) - 1], query) if more else "",
        )

    async def UpdateKnowledge(
        self, request: pb.UpdateKnowledgeRequest, context: rpc.Context
    ) -> pb.UpdateKnowledgeResponse:
        return changes.from_changed(await self._ingest.update(changes.to_change(request)))

    async def DeleteKnowledge(
        self, request: pb.DeleteKnowledgeRequest, context: rpc.Context
    ) -> pb.DeleteKnowledgeResponse:
        knowledge_id = fields.uuid(request.knowledge_id, "knowledge_id")
        deleted = await self._ingest.delete(knowledge_id, bar=request.bar)
        return pb.DeleteKnowledgeResponse(deleted=deleted)

    async def FindMissing(
        self, request: pb.FindMissingRequest, context: rpc.Context
    ) -> pb.FindMissingResponse:
        fields.batch(request.knowledge_ids, "knowledge_ids")
        knowledge_ids = fields.uuids(request.knowledge_ids, "knowledge_ids", most=1000)
        return pb.FindMissingResponse(missing_ids=await self._items.find_missing(knowledge_ids))

    async def SearchKnowledge(
        self, request: pb.SearchKnowledgeRequest, context: rpc.Context
    ) -> pb.SearchKnowledgeResponse:
        remaining = context.time_remaining()
        seconds = DEFAULT_SECONDS if remaining is None else remaining
        question = searching.to_question(request, seconds)
        return searching.from_found(await self._search.search(question))


def _result(outcome: Stored | BaseException) -> pb.StoreKnowledgeResult:
    if isinstance(outcome, BaseException):
        return pb.StoreKnowledgeResult(error=rpc.status_of(outcome, DOMAIN))
    return pb.StoreKnowledgeResult(response=wire.from_stored(outcome))
