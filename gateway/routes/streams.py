"""Live events as server-sent events: of everybody, or of one person."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Header, Query
from pydantic import BeforeValidator
from starlette.responses import Response

from gateway.answers.events import EVENT_EXAMPLE
from gateway.errors import moved
from gateway.flows.following import Following, Start, Step
from gateway.live import Live
from gateway.models.events import EventStreamQuery, TimelineStreamQuery
from gateway.openapi import problems
from gateway.rendering.values import conversation
from gateway.routes.common import PersonId
from gateway.routes.sse import MEDIA_TYPE, EventStream
from gateway.values import Position
from kith.event.v1 import event_pb2
from svckit.errors import InvalidRequest

LAST_EVENT_ID = "Last-Event-ID"

LastEventId = Annotated[
    Position | None,
    # A browser that has seen no id yet sends none, or an empty one.
    BeforeValidator(lambda value: value or None),
    Header(
        alias=LAST_EVENT_ID,
        description="The last id that was received: the stream goes on behind it.",
    ),
]

_EXAMPLE = (
    f"id: 4711\nevent: event\ndata: {orjson.dumps(EVENT_EXAMPLE).decode()}\n\n"
    "id: 4711\nevent: caught_up\ndata: {}\n\nid: 4780\n\n"
)
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Blocks of type `event`; one of type `caught_up` once everything that was "
        "there is told; blocks with only an `id`, to go on from; `error` as the last one.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EXAMPLE}},
    },
    **problems(404, 409, 410),
}


def add(app: FastAPI, following: Following, live: Live) -> None:
    """Add the routes."""

    def answer(
        kind: str, query: TimelineStreamQuery, last_id: int | None, person_id: str | None
    ) -> Response:
        chosen = event_pb2.EventFilter(
            group_id=query.group_id or "",
            session_id=conversation(query.session_id, query.platform[0] if query.platform else ""),
            event_types=query.event_type,
            platforms=query.platform,
        )
        steps = following.follow(chosen, _start(query, last_id), person_id)
        field = "after" if last_id is None else LAST_EVENT_ID
        return EventStream(live, kind, _named(steps, field))

    @app.get("/v1/events/stream", response_class=Response, tags=["events"], responses=_RESPONSES)
    async def stream_events(
        query: Annotated[EventStreamQuery, Query()], last_event_id: LastEventId = None
    ) -> Response:
        """What happens, as it is logged: every event once, in order, from any position on."""
        return answer("events", query, last_event_id, query.person_id)

    @app.get(
        "/v1/persons/{person_id}/timeline/stream", response_class=Response, tags=["events"],
        responses=_RESPONSES,
    )  # fmt: skip
    async def stream_timeline(
        person_id: PersonId,
        query: Annotated[TimelineStreamQuery, Query()],
        last_event_id: LastEventId = None,
    ) -> Response:
        """What happens with a person, as it is logged, through links that come and go."""
        return answer("timeline", query, last_event_id, person_id)


def _start(query: TimelineStreamQuery, last_id: int | None) -> Start:
    """Where to begin: a client that comes back asks in the same words, and says how far it was."""
    if last_id is not None:
        return last_id
    if query.after is not None:
        return query.after
    return query.from_ or "now"


async def _named(steps: AsyncIterator[Step], field: str) -> AsyncIterator[Step]:
    """The steps; what is wrong with where they begin is said of the field that said so."""
    async with aclosing(steps):  # type: ignore[type-var]
        try:
            async for step in steps:
                yield step
        except InvalidRequest as error:
            raise moved(error, "after_position", field) from None
