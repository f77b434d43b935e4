"""Messages that are edited and deleted over HTTP, and what is known of them."""

from typing import Any

import httpx

from gateway.clients import Clients
from svckit import ids
from tests.support.messages import Body, eventually
from tests.support.stack import Stack

OLD, NEW = "I live in a small house in Lisbon.", "I live in a large house in Porto."
NEWEST = "I live in a tent beside the river Douro."


async def edited(client: httpx.AsyncClient, event_id: str, status: int = 201, **body: Any) -> Any:
    """The answer to an edit, which has this status."""
    answer = await client.put(f"/v1/messages/{event_id}", json={"text": NEW, **body})
    assert answer.status_code == status, answer.text
    return answer.json()


async def deleted(client: httpx.AsyncClient, event_id: str, status: int = 200, **how: Any) -> Any:
    """The answer to a deletion, which has this status."""
    answer = await client.delete(f"/v1/messages/{event_id}", params=how)
    assert answer.status_code == status, answer.text
    return answer.json()


async def event(client: httpx.AsyncClient, event_id: str) -> Body:
    """An event of the log."""
    return dict((await client.get(f"/v1/events/{event_id}")).json())


async def item(client: httpx.AsyncClient, event_id: str) -> Body | None:
    """What is known of a message; None for nothing."""

    async def found() -> list[httpx.Response]:
        answer = await client.get(f"/v1/knowledge/{ids.derived(event_id, 'knowledge')}")
        # A service that was away may still be so for a moment.
        return [answer] if answer.status_code in (200, 404) else []

    [answer] = await eventually(found)
    return dict(answer.json()) if answer.is_success else None


async def content(client: httpx.AsyncClient, event_id: str) -> str | None:
    found = await item(client, event_id)
    return None if found is None else str(found["content"])


async def caught_up(stack: Stack, clients: Clients, position: int) -> None:
    """Have a reader look at the log, up to a position at least."""

    async def is_there() -> bool:
        return await clients.events.cursor("gateway.catch_up") >= position

    async with stack.gateway(catch_up=True):
        await eventually(is_there)


async def consent(client: httpx.AsyncClient, person_id: str, **purposes: str) -> None:
    answer = await client.patch(f"/v1/persons/{person_id}/consent", json={"purposes": purposes})
    assert answer.is_success, answer.text
