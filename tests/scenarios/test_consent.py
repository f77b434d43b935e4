"""What people allow is honoured from their first message on."""

from typing import Any

import httpx
import pytest

from tests.support.messages import Body, a_message, a_reply, sent, timeline
from tests.support.stack import Stack


async def register(client: httpx.AsyncClient, consent: dict[str, str]) -> None:
    body = {"platform": "discord", "platform_id": "ada", "consent": consent}
    assert (await client.post("/v1/register", json=body)).is_success


async def logged(client: httpx.AsyncClient, answer: Any) -> Body:
    events = await timeline(client, answer["person_id"], event_type="message")
    return next(event for event in events if event["event_id"] == answer["event_id"])


async def test_no_knowledge_is_made_of_what_somebody_says_who_denied_it(
    gateway: httpx.AsyncClient,
):
    await register(gateway, {"knowledge": "denied"})
    body = a_message(store_as_knowledge=True)

    answer = await sent(gateway, body)

    assert answer["knowledge"]["state"] == "skipped"
    assert answer["knowledge"]["reason"] == "consent_denied"
    event = await logged(gateway, answer)
    assert event["content"]["text"] == body["text"]
    assert event["consent_version"] == 1


@pytest.mark.parametrize("make", [a_message, a_reply])
async def test_nothing_that_is_said_is_kept_of_somebody_who_denied_messages(
    gateway: httpx.AsyncClient, make: Any
):
    await register(gateway, {"messages": "denied"})
    body = make()

    answer = await sent(gateway, body)

    assert answer["knowledge"]["state"] == "skipped"
    event = await logged(gateway, answer)
    assert event["content"] == {"message_id": body["message_id"], "role": body.get("role", "user")}
    found = await gateway.post("/v1/search", json={"query": body["text"]})
    assert found.json()["hits"] == []


async def test_where_consent_must_be_given_first_nothing_is_kept_without(stack: Stack):
    async with stack.gateway(consent_default="deny") as client:
        before = await sent(client, a_message())
        await register(client, {"messages": "granted", "knowledge": "granted"})
        after = await sent(client, a_message())

        assert "text" not in (await logged(client, before))["content"]
        assert "text" in (await logged(client, after))["content"]

    assert before["knowledge"]["state"] == "skipped"
    assert after["knowledge"]["state"] == "stored"


async def test_a_repeat_changes_nothing_whatever_was_decided_since(
    gateway: httpx.AsyncClient, stack: Stack
):
    unheard, known = a_message(), a_message(sender_id="grace")
    async with stack.gateway(consent_default="deny") as strict:
        withheld = await sent(strict, unheard)
    kept = await sent(gateway, known)
    await register(gateway, {"messages": "granted", "knowledge": "granted"})

    withheld_again = await sent(gateway, unheard, 200)
    kept_again = await sent(gateway, known, 200)

    assert withheld_again == {**withheld, "duplicate": True}
    assert kept_again == {**kept, "duplicate": True}
    assert "text" not in (await logged(gateway, withheld))["content"]


async def test_a_repeat_does_not_store_what_is_denied_by_now(
    gateway: httpx.AsyncClient, stack: Stack
):
    body = a_message()
    await stack.stop("knowledge")
    deferred = await sent(gateway, body)
    await register(gateway, {"knowledge": "denied"})
    await stack.start("knowledge")

    again = await sent(gateway, body, 200)

    assert deferred["knowledge"]["state"] == "deferred"
    assert again["event_id"] == deferred["event_id"]
    assert again["knowledge"]["state"] == "skipped"
    assert again["knowledge"]["reason"] == "consent_denied"
