"""Events: logging any, reading, counting, searching and redacting them; a person's timeline."""

from typing import Annotated, Any

from fastapi import Body, FastAPI, Path, Query, Request
from starlette.responses import Response

from gateway import rendering
from gateway.answers.common import EVENT
from gateway.answers.events import (
    EventAnswer,
    EventsAnswer,
    FoundEventsAnswer,
    LoggedAnswer,
    LoggedBatchAnswer,
    RedactedAnswer,
    StatsAnswer,
)
from gateway.clients import Clients
from gateway.errors import in_batch, moved, renamed
from gateway.flows.log_events import LogEvents
from gateway.flows.reading import EventsPage, Reading
from gateway.flows.redacting import redact
from gateway.live import Live
from gateway.middleware.limits import EVENTS_BATCH
from gateway.models.events import (
    EVENTS,
    MOST_EVENTS,
    EventSearchQuery,
    EventsQuery,
    NewEvent,
    Redaction,
    StatsQuery,
    TimelineQuery,
)
from gateway.openapi import problems
from gateway.responses import respond, respond_made
from gateway.routes.common import Key, PersonId, chosen_id
from gateway.values import Uuid
from kith.event.v1 import event_service_pb2
from svckit import fields
from svckit.errors import InvalidRequest

PATH = "/v1/events"

EventId = Annotated[Uuid, Path(examples=[EVENT])]
Batch = Annotated[list[NewEvent], Body(min_length=1, max_length=MOST_EVENTS, examples=[EVENTS])]

_BUCKETS = {
    "hour": event_service_pb2.STATS_BUCKET_HOUR,
    "day": event_service_pb2.STATS_BUCKET_DAY,
    "week": event_service_pb2.STATS_BUCKET_WEEK,
    "month": event_service_pb2.STATS_BUCKET_MONTH,
}


def add(
    app: FastAPI, clients: Clients, log_events: LogEvents, reading: Reading, live: Live
) -> None:
    """Add the routes; those under a word of their own come before the one of an id."""
    _add_logging(app, log_events)
    _add_pages(app, reading, live)
    _add_stats(app, clients)
    _add_one(app, clients)


def _add_logging(app: FastAPI, log_events: LogEvents) -> None:
    @app.post(
        PATH, status_code=201, response_model=LoggedAnswer, tags=["events"],
        responses={
            200: {"model": LoggedAnswer, "description": "A repeat: it was logged before."},
            **problems(404, 409, 413, 415),
        },
    )  # fmt: skip
    async def post_event(event: NewEvent, request: Request, key: Key = None) -> Response:
        """Log whatever happened."""
        event_id = chosen_id(event.event_id, request, PATH, key)
        try:
            [logged] = await log_events([event], [event_id])
        except InvalidRequest as error:
            raise renamed(error, {}) from None
        return respond_made(rendering.logged(logged), not logged.duplicate)

    @app.post(
        EVENTS_BATCH, status_code=201, response_model=LoggedBatchAnswer, tags=["events"],
        responses={
            200: {"model": LoggedBatchAnswer, "description": "A repeat: all were logged before."},
            **problems(404, 409, 413, 415),
        },
    )  # fmt: skip
    async def post_events(events: Batch, request: Request, key: Key = None) -> Response:
        """Log up to 1,000 events in order, all of them or none."""
        event_ids = [
            chosen_id(event.event_id, request, EVENTS_BATCH, f"{key} {index}" if key else None)
            for index, event in enumerate(events)
        ]
        try:
            logged = await log_events(events, event_ids, is_keyed=key is not None)
        except InvalidRequest as error:
            raise in_batch(error) from None
        body: LoggedBatchAnswer = {"events": [rendering.logged(each) for each in logged]}
        return respond_made(body, not all(each.duplicate for each in logged))


def _add_pages(app: FastAPI, reading: Reading, live: Live) -> None:
    async def answer(query: TimelineQuery, person_id: str | None, request: Request) -> Response:
        try:
            if query.wait:
                # Whoever has gone is not waited for.
                page = await live.run("poll", reading.page(query, person_id), request.receive)
                page = page or EventsPage((), "", query.after)
            else:
                page = await reading.page(query, person_id)
        except InvalidRequest as error:
            raise moved(error, "after_position", "after") from None
        body: EventsAnswer = {
            "events": [rendering.event(event) for event in page.events],
            "next_page_token": page.next_page_token or None,
            "position": page.position,
        }
        return respond(body)

    @app.get(PATH, response_model=EventsAnswer, tags=["events"], responses=problems(404, 409, 410))
    async def list_events(query: Annotated[EventsQuery, Query()], request: Request) -> Response:
        """What happened, newest first; or, with `after`, what was logged since, oldest first."""
        return await answer(query, query.person_id, request)

    @app.get(
        "/v1/persons/{person_id}/timeline", response_model=EventsAnswer, tags=["events"],
        responses=problems(404, 409, 410),
    )  # fmt: skip
    async def timeline(
        person_id: PersonId, query: Annotated[TimelineQuery, Query()], request: Request
    ) -> Response:
        """What happened with a person, on all of their platforms, newest first."""
        return await answer(query, person_id, request)

    @app.get(
        f"{PATH}/search", response_model=FoundEventsAnswer, tags=["events"],
        responses=problems(404, 409),
    )  # fmt: skip
    async def search_events(query: Annotated[EventSearchQuery, Query()]) -> Response:
        """Events that hold words or a text, newest first."""
        found = await reading.search(query)
        body: FoundEventsAnswer = {
            "events": [rendering.event(event) for event in found.events],
            "next_page_token": found.next_page_token or None,
        }
        return respond(body)


def _add_stats(app: FastAPI, clients: Clients) -> None:
    events = clients.events

    @app.get(f"{PATH}/stats", response_model=StatsAnswer, tags=["events"], responses=problems())
    async def count_events(query: Annotated[StatsQuery, Query()]) -> Response:
        """How many events were logged, by time, and by type and platform where asked for."""
        limits: dict[str, Any] = {"from": fields.to_timestamp(query.from_)}
        answer = await events.ask(
            events.stub.GetEventStats,
            event_service_pb2.GetEventStatsRequest(
                **limits,
                to=fields.to_timestamp(query.to),
                bucket=_BUCKETS[query.bucket],
                event_types=query.event_type,
                platforms=query.platform,
                by_event_type="event_type" in query.by,
                by_platform="platform" in query.by,
            ),
        )
        body: StatsAnswer = {
            "counts": [rendering.count(count) for count in answer.counts],
            "total": answer.total,
        }
        return respond(body)


def _add_one(app: FastAPI, clients: Clients) -> None:
    events = clients.events

    @app.get(
        f"{PATH}/{{event_id}}", response_model=EventAnswer, tags=["events"],
        responses=problems(404),
    )  # fmt: skip
    async def get_event(event_id: EventId) -> Response:
        """One event."""
        request = event_service_pb2.GetEventRequest(event_id=event_id)
        answer = await events.ask(events.stub.GetEvent, request)
        return respond(rendering.event(answer.event))

    @app.post(
        f"{PATH}:redact", response_model=RedactedAnswer, tags=["events"],
        responses=problems(413, 415),
    )  # fmt: skip
    async def redact_events(redaction: Redaction) -> Response:
        """Take away for good what events say, and the knowledge made from them."""
        redacted = await redact(clients, redaction.event_ids, redaction.reason)
        body: RedactedAnswer = {"redacted_ids": list(redacted)}
        return respond(body)
