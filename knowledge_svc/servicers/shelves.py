"""KnowledgeService's namespaces."""

from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.ports.shelves import ShelfStore
from knowledge_svc.wire import shelves as wire
from svckit import fields, pages, rpc

_MOST_SUBJECTS = 1_000


class Shelves:
    """Which namespaces there are, with what stands on them."""

    def __init__(self, store: ShelfStore) -> None:
        self._store = store

    async def ListNamespaces(
        self, request: pb.ListNamespacesRequest, context: rpc.Context
    ) -> pb.ListNamespacesResponse:
        limit = pages.size(request.page_size, default=100, most=500)
        subject_ids = fields.uuids(request.subject_ids, "subject_ids", most=_MOST_SUBJECTS)
        scope = wire.to_scope(request, subject_ids)
        after = wire.to_after(request.page_token, scope)

        found = await self._store.shelves(subject_ids or None, after=after, limit=limit + 1)
        page, more = found[:limit], found[limit:]
        return pb.ListNamespacesResponse(
            namespaces=map(wire.from_shelf, page),
            next_page_token=wire.page_token(page[-1], scope) if more else "",
        )
