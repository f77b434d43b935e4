"""Reading the log: pages and searches of everybody's events, or of one person's past."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.clients import Clients
from gateway.flows.following import Following
from gateway.flows.subjects import subjects_of
from gateway.models.events import EventSearchQuery, TimelineQuery
from gateway.rendering.values import conversation
from kith.event.v1 import event_pb2, event_service_pb2
from svckit import fields

_MODES = {
    "words": event_service_pb2.SEARCH_MODE_WORDS,
    "substring": event_service_pb2.SEARCH_MODE_SUBSTRING,
}


@dataclass(frozen=True, slots=True)
class EventsPage:
    """A page; `position` is where a reader goes on, None where the newest come first."""

    events: Sequence[event_pb2.Event]
    next_page_token: str
    position: int | None


class Reading:
    """Reads the log. Page tokens belong to the person as addressed: the subjects may change."""

    def __init__(self, clients: Clients, following: Following) -> None:
        self._clients = clients
        self._following = following

    async def page(self, query: TimelineQuery, person_id: str | None = None) -> EventsPage:
        """A page of the log, or of one person's past.

        Where nothing is there after `query.after`, it comes as soon as something is, and at
        the latest after `query.wait` seconds. Whoever goes on after a position is to miss
        nothing: raises POSITION_EXPIRED. Raises PersonNotFound, TooManySubjects.
        """
        chosen = await self._filter(query, person_id)
        ascending = query.is_ascending
        page = await self._clients.events.page(
            event_service_pb2.ListEventsRequest(
                filter=chosen,
                after_position=query.after or 0,
                order=event_service_pb2.ORDER_ASCENDING
                if ascending
                else event_service_pb2.ORDER_DESCENDING,
                page_size=query.page_size,
                page_token=query.page_token,
                page_scope=person_id or "",
                follow=ascending and query.after is not None,
            )
        )
        if query.wait and not page.events:
            step = await self._following.first_of(
                chosen, page.scanned_position, query.wait, query.page_size or 50
            )
            return EventsPage(step.events, "", step.position)
        position = page.scanned_position if ascending else None
        return EventsPage(page.events, page.next_page_token, position)

    async def search(self, query: EventSearchQuery) -> event_service_pb2.SearchEventsResponse:
        """The events that hold words or a text, newest first; a page may be short."""
        request = event_service_pb2.SearchEventsRequest(
            filter=await self._filter(query, query.person_id),
            query=query.query,
            mode=_MODES[query.mode],
            page_size=query.page_size,
            page_token=query.page_token,
            page_scope=query.person_id or "",
        )
        events = self._clients.events
        return await events.ask(events.stub.SearchEvents, request)

    async def _filter(
        self, query: TimelineQuery | EventSearchQuery, person_id: str | None
    ) -> event_pb2.EventFilter:
        return event_pb2.EventFilter(
            subject_ids=await subjects_of(self._clients.identity, person_id),
            group_id=query.group_id or "",
            session_id=conversation(query.session_id, query.platform[0] if query.platform else ""),
            event_types=query.event_type,
            platforms=query.platform,
            occurred_from=fields.to_timestamp(query.from_),
            occurred_to=fields.to_timestamp(query.to),
        )
