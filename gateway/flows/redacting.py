"""Taking away what events say: in the log, and in the knowledge that was made from them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from gateway.clients import Clients
from gateway.flows import versions
from gateway.flows.entries import knowledge_id
from kith.event.v1 import event_service_pb2
from svckit.errors import NotFound

# How many events are looked at, or items deleted, at once.
_WIDTH = 32


async def redact(clients: Clients, event_ids: Sequence[str], reason: str) -> Sequence[str]:
    """The ids of the events that this call redacted.

    The log comes before the knowledge made from these events; only what an edit is of cannot be
    told afterwards. Where knowledge cannot be reached the call fails, and a repeat does the rest.
    """
    messages: set[str] = set()

    async def look(event_id: str) -> None:
        if message := await _edited(clients, event_id):
            messages.add(message)

    async def forget(event_id: str) -> None:
        await clients.knowledge.delete(knowledge_id(event_id))

    await _each(look, event_ids)
    await _each(forget, messages)
    request = event_service_pb2.RedactEventsRequest(event_ids=event_ids, reason=reason)
    answer = await clients.events.ask(clients.events.stub.RedactEvents, request)
    await _each(forget, event_ids)
    return answer.redacted_ids


async def _edited(clients: Clients, event_id: str) -> str | None:
    """The message that an event edits, if it does."""
    request = event_service_pb2.GetEventRequest(event_id=event_id)
    try:
        event = (await clients.events.ask(clients.events.stub.GetEvent, request)).event
    except NotFound:
        return None
    origin = versions.origin_of(event) if event.event_type == versions.EDIT else None
    return origin.event_id if origin else None


async def _each(work: Callable[[str], Awaitable[None]], event_ids: Iterable[str]) -> None:
    turns = asyncio.Semaphore(_WIDTH)

    async def in_turn(event_id: str) -> None:
        async with turns:
            await work(event_id)

    try:
        async with asyncio.TaskGroup() as tasks:
            for event_id in dict.fromkeys(event_ids):
                tasks.create_task(in_turn(event_id))
    except BaseExceptionGroup as group:
        # One failure stands for all: those behind it were not even begun.
        raise group.exceptions[0] from None
