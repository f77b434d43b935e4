"""Hands out everything that was logged about subjects."""

from collections.abc import AsyncIterator

from event_svc.domain.log import EventFilter
from event_svc.ports.log import EventStore
from event_svc.wire import export, log, subjects
from kith.event.v1 import event_service_pb2 as pb
from svckit import rpc

PAGE_EVENTS = 500


class Export:
    """Exports over the log: a page in memory at a time, the next when the caller took it."""

    def __init__(self, events: EventStore) -> None:
        self._events = events

    async def ExportEvents(
        self, request: pb.ExportEventsRequest, context: rpc.Context
    ) -> AsyncIterator[pb.ExportEventsResponse]:
        chosen = EventFilter(subject_ids=subjects.to_subject_ids(request.subject_ids))
        after = log.to_position(request.after_position, "after_position")
        more = True
        while more:
            page = await self._events.page(chosen, after=after, limit=PAGE_EVENTS)
            for message in export.from_page(page.events):
                yield message
            after, more = page.scanned_position, page.more
