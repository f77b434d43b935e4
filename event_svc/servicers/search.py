"""SearchEvents: parse, ask the store, render."""

from event_svc.domain.redaction import shown
from event_svc.ports.search import SearchStore
from event_svc.wire import log as log_wire
from event_svc.wire import search as wire
from kith.event.v1 import event_service_pb2 as pb
from svckit import pages, rpc


class Search:
    """Words and texts in the log."""

    def __init__(self, store: SearchStore) -> None:
        self._store = store

    async def SearchEvents(
        self, request: pb.SearchEventsRequest, context: rpc.Context
    ) -> pb.SearchEventsResponse:
        limit = pages.size(request.page_size, default=50, most=500)
        chosen = wire.to_scope(request)
        mode = wire.to_mode(request.mode)
        patterns = wire.to_patterns(request.query, mode)
        query = wire.query_of(request, chosen, mode)
        place = log_wire.to_place(request.page_token, query)

        page = await self._store.search(chosen, patterns, before=place, limit=limit)
        events, more, scanned_position = log_wire.from_page(page, shown(page.events, chosen))
        return pb.SearchEventsResponse(
            events=events,
            next_page_token=pages.token(scanned_position, query) if more else "",
        )
