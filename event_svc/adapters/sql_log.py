"""The log in Postgres, through the SQL functions of the schema `event`."""

from collections.abc import Sequence
from typing import Any

from event_svc.domain.log import (
    Append,
    Event,
    EventFilter,
    EventNotFound,
    EventPage,
    IdempotencyConflict,
    LoggedEvent,
    NewEvent,
    Refusal,
    SubjectErased,
)
from svckit.errors import InvalidRequest, SqlError
from svckit.sql import SqlFunctions


class SqlEventStore:
    """The EventStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def append(self, requests: Sequence[Append]) -> list[list[LoggedEvent] | Refusal]:
        try:
            outcomes = await self._sql.call(
                "append_events",
                requests=[[_row(event) for event in request.events] for request in requests],
            )
        except SqlError as error:
            if error.code == "ZE002":
                raise InvalidRequest("events", "hold an event_id twice") from error
            raise
        return [
            _outcome(request, outcome) for request, outcome in zip(requests, outcomes, strict=True)
        ]

    async def get(self, event_id: str) -> Event:
        row = await self._sql.call("get_event", event_id=event_id)
        if row is None:
            raise EventNotFound(event_id)
        return Event(**row)

    async def page(
        self, chosen: EventFilter, *, after: int = 0, before: int | None = None,
        descending: bool = False, limit: int,
    ) -> EventPage:  # fmt: skip
        page = await self._sql.call(
            "list_events",
            page_limit=limit,
            descending=descending,
            after_position=after,
            before_position=before,
            **arguments_of(chosen),
        )
        return page_of(page)

    async def ensure_partitions(self, days_ahead: int) -> Sequence[str]:
        names: list[str] = await self._sql.call("ensure_partitions", days_ahead=days_ahead)
        return names


def arguments_of(chosen: EventFilter) -> dict[str, Any]:
    """A filter as the functions that read pages take it."""
    return {
        # An id given twice would be read twice.
        "subject_ids": list(dict.fromkeys(chosen.subject_ids)) or None,
        "group_id": chosen.group_id,
        "session_id": chosen.session_id,
        "event_types": list(chosen.event_types) or None,
        "platforms": list(chosen.platforms) or None,
        "occurred_from": chosen.occurred_from,
        "occurred_to": chosen.occurred_to,
    }


def page_of(page: dict[str, Any]) -> EventPage:
    """A page as those functions answer it."""
    return EventPage(
        [Event(**row) for row in page["events"]], page["more"], page["scanned_position"]
    )


def _row(event: NewEvent) -> dict[str, Any]:
    return {
        **event.body,
        "event_id": event.event_id,
        "body_hash": event.body_hash,
        "consent_version": event.consent_version,
    }


def _outcome(request: Append, outcome: dict[str, Any]) -> list[LoggedEvent] | Refusal:
    match outcome:
        case {"error": {"code": "ZE004", "subject_id": subject_id}}:
            return SubjectErased(subject_id)
        case {"error": {"event_id": event_id}}:
            return IdempotencyConflict(event_id)
    return [
        LoggedEvent(event.event_id, place["position"], place["created_at"], place["duplicate"])
        for event, place in zip(request.events, outcome["ok"], strict=True)
    ]
