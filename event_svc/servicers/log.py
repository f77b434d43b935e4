"""EventService: parse, ask the store (together with whoever else is asking), render."""

from event_svc.domain import DOMAIN
from event_svc.domain.log import MOST_EVENTS, EventFilter, EventPage
from event_svc.domain.redaction import shown
from event_svc.intake import Intake, Outcome
from event_svc.ports.log import EventStore
from event_svc.ports.subscriptions import LogHistory
from event_svc.wire import log as wire
from kith.event.v1 import event_service_pb2 as pb
from svckit import batches, fields, pages, rpc
from svckit.errors import InvalidRequest


class Log:
    """The contract over its ports; what is logged goes through the intake."""

    def __init__(self, events: EventStore, history: LogHistory, intake: Intake) -> None:
        self._events = events
        self._history = history
        self._intake = intake

    async def LogEvent(
        self, request: pb.LogEventRequest, context: rpc.Context
    ) -> pb.LogEventResponse:
        [logged] = await self._intake.log(wire.to_append_of_one(request.event))
        return pb.LogEventResponse(event=wire.from_logged(logged))

    async def LogEvents(
        self, request: pb.LogEventsRequest, context: rpc.Context
    ) -> pb.LogEventsResponse:
        logged = await self._intake.log(wire.to_append(request.events))
        return wire.from_all_logged(logged)

    async def BatchLogEvents(
        self, request: pb.BatchLogEventsRequest, context: rpc.Context
    ) -> pb.BatchLogEventsResponse:
        requests = fields.batch(request.requests, "requests")
        total = sum(len(one.events) for one in requests)
        if total > MOST_EVENTS:
            raise InvalidRequest(
                "requests", f"hold {total} events; at most {MOST_EVENTS} are allowed in all"
            )
        outcomes = await batches.answer_each(
            requests, lambda one: wire.to_append(one.events), self._intake.log_each
        )
        return pb.BatchLogEventsResponse(results=map(_result, outcomes))

    async def GetEvent(
        self, request: pb.GetEventRequest, context: rpc.Context
    ) -> pb.GetEventResponse:
        event = await self._events.get(fields.uuid(request.event_id, "event_id"))
        return pb.GetEventResponse(event=wire.from_event(event))

    async def ListEvents(
        self, request: pb.ListEventsRequest, context: rpc.Context
    ) -> pb.ListEventsResponse:
        limit = pages.size(request.page_size, default=50, most=1000)
        chosen = wire.to_filter(request.filter)
        descending = wire.to_descending(request.order)
        after = wire.to_position(request.after_position, "after_position")
        follows = wire.to_follows(request)
        query = wire.query_of(request, chosen, descending=descending)
        place = wire.to_place(request.page_token, query)

        if descending:
            page = await self._events.page(
                chosen, after=after, before=place, descending=True, limit=limit
            )
        else:
            after = max(after, place or 0)
            # Whoever begins at the beginning has missed nothing yet.
            read = self._follow if follows and after else self._events.page
            page = await read(chosen, after=after, limit=limit)
        told = page.events if follows else shown(page.events, chosen)
        events, more, scanned_position = wire.from_page(page, told)
        return pb.ListEventsResponse(
            events=events,
            next_page_token=pages.token(scanned_position, query) if more else "",
            scanned_position=0 if descending else scanned_position,
        )

    async def _follow(self, chosen: EventFilter, *, after: int, limit: int) -> EventPage:
        stretch = await self._history.read(chosen, after=after, limit=limit)
        return EventPage(stretch.events, not stretch.at_end, stretch.scanned_position)


def _result(outcome: Outcome) -> pb.LogEventsResult:
    if isinstance(outcome, BaseException):
        return pb.LogEventsResult(error=rpc.status_of(outcome, DOMAIN))
    return pb.LogEventsResult(response=wire.from_all_logged(outcome))
