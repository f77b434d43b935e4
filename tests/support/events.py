"""Builders for events, a client of the event service, and hands on its database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from event_svc.__main__ import assemble
from event_svc.domain.log import Append, LoggedEvent, NewEvent, body_hash
from event_svc.ports.log import EventStore
from kith.event.v1 import event_pb2, event_service_pb2_grpc
from kith.event.v1 import event_service_pb2 as pb
from svckit import ids, structs
from tests.support.cluster import Database
from tests.support.services import channel_to, running

Stub = event_service_pb2_grpc.EventServiceStub


def an_event(event_id: str | None = None, consent_version: int = 0, **body: Any) -> NewEvent:
    """An event that nobody else has logged, unless its id is given."""
    whole = {"event_type": "message", "platform": "discord", **body}
    return NewEvent(event_id or ids.new(), whole, body_hash(whole), consent_version)


async def logged(store: EventStore, *events: NewEvent) -> list[LoggedEvent]:
    """Where events stand that are logged together."""
    [outcome] = await store.append([Append(events)])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def a_message(event_id: str | None = None, **changes: Any) -> event_pb2.NewEvent:
    """An event that nobody else has logged, unless its id is given; JSON comes as dicts."""
    for name in ("content", "metadata"):
        if name in changes:
            changes[name] = structs.from_dict(changes[name])
    return event_pb2.NewEvent(
        **{
            "event_id": ids.new() if event_id is None else event_id,
            "event_type": "message",
            "platform": "discord",
            **changes,
        }
    )


async def log_one(events: Stub, **changes: Any) -> event_pb2.LoggedEvent:
    """Log a message; `changes` are those of `a_message`."""
    answer = await events.LogEvent(pb.LogEventRequest(event=a_message(**changes)))
    return answer.event


async def follow(events: Stub, after: int = 0, **request: Any) -> tuple[list[int], int]:
    """The positions after one, read page by page, and up to where the log was looked at."""
    positions: list[int] = []
    token = ""
    while True:
        page = await events.ListEvents(
            pb.ListEventsRequest(after_position=after, page_token=token, **request)
        )
        positions += [event.position for event in page.events]
        token = page.next_page_token
        if not token:
            return positions, page.scanned_position


@asynccontextmanager
async def event_service(database: Database) -> AsyncIterator[Stub]:
    """One instance of the service over a database, behind a channel of its own."""
    async with running(assemble, database, "event") as address, channel_to(address) as channel:
        yield Stub(channel)


async def move_clock(connection: Any, to: str) -> None:
    """Let the log's time be an SQL expression; it is never earlier from then on.

    Under the log's lock, as everything that writes the head: an append under way would put
    back the time that it read before.
    """
    async with connection.transaction():
        await connection.execute("SELECT event.lock_log()")
        await connection.execute(f"UPDATE event.log_head SET created_at = {to}")


async def be_impatient(connection: Any) -> None:
    """Let appends give up on the log's lock soon, so that tests need not wait for it."""
    for function in ("append_events(jsonb)", "ensure_partitions(integer)"):
        await connection.execute(f"ALTER FUNCTION event.{function} SET lock_timeout = '100ms'")
