"""Taking away what events say: in the log, and in the knowledge that was made from them."""

from collections.abc import Sequence

from gateway.clients import Clients
from gateway.flows import versions
from gateway.flows.entries import knowledge_id
from gateway.flows.several import each
from kith.event.v1 import event_service_pb2
from svckit.errors import NotFound

# How many events are looked at, or items deleted, at once.
_WIDTH = 32


async def redact(clients: Clients, event_ids: Sequence[str], reason: str) -> Sequence[str]:
    """The ids of the events that this call redacted.

    The log comes before the knowledge made from these events; only what an edit is of cannot be
    told afterwards. Where knowledge cannot be reached the call fails, and a repeat does the rest.
    """
    wanted = dict.fromkeys(event_ids)
    messages: set[str] = set()

    async def look(event_id: str) -> None:
        if message := await _edited(clients, event_id):
            messages.add(message)

    async def forget(event_id: str) -> None:
        await clients.knowledge.delete(knowledge_id(event_id))

    await each(look, wanted, at_once=_WIDTH)
    await each(forget, messages, at_once=_WIDTH)
    request = event_service_pb2.RedactEventsRequest(event_ids=event_ids, reason=reason)
    answer = await clients.events.ask(clients.events.stub.RedactEvents, request)
    await each(forget, wanted, at_once=_WIDTH)
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
