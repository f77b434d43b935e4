"""Taking away what events say: in the log, and in the knowledge that was made from them."""

import asyncio
from collections.abc import Sequence

from gateway.clients import Clients
from gateway.flows.entries import knowledge_id
from kith.event.v1 import event_service_pb2

# How many items are deleted at once.
_WIDTH = 32


async def redact(clients: Clients, event_ids: Sequence[str], reason: str) -> Sequence[str]:
    """The ids of the events that this call redacted.

    The log comes first, so that nothing makes knowledge of an event any more. Where knowledge
    cannot be reached the call fails, and a repeat does the rest.
    """
    request = event_service_pb2.RedactEventsRequest(event_ids=event_ids, reason=reason)
    answer = await clients.events.ask(clients.events.stub.RedactEvents, request)
    turns = asyncio.Semaphore(_WIDTH)

    async def forget(event_id: str) -> None:
        async with turns:
            await clients.knowledge.delete(knowledge_id(event_id))

    try:
        async with asyncio.TaskGroup() as deletions:
            for event_id in dict.fromkeys(event_ids):
                deletions.create_task(forget(event_id))
    except BaseExceptionGroup as group:
        # One failure stands for all: those behind it were not even begun.
        raise group.exceptions[0] from None
    return answer.redacted_ids
