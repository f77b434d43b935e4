"""What a flow could not finish is finished later, once, and only as far as it is still wanted."""

import asyncio
from typing import Any

import httpx
import pytest

from gateway.clients import Clients
from svckit import ids
from tests.support.messages import Body, a_message, eventually, sent, timeline
from tests.support.stack import Stack


async def knows(clients: Clients, answers: list[Any]) -> bool:
    """Whether the knowledge of all of these messages is stored."""
    wanted = [ids.derived(answer["event_id"], "knowledge") for answer in answers]
    return not await clients.knowledge.missing(wanted)


async def test_a_message_does_not_wait_for_knowledge(stack: Stack, gateway: httpx.AsyncClient):
    await stack.stop("knowledge")
    body = a_message()

    first = await sent(gateway, body)
    second = await sent(gateway, body, 200)

    assert first["knowledge"] == {
        "state": "deferred", "index_token": None, "reason": "knowledge_unavailable",
        "knowledge_id": ids.derived(first["event_id"], "knowledge"),
    }  # fmt: skip
    assert second == {**first, "duplicate": True}


async def test_deferred_knowledge_is_stored_when_it_can_be(stack: Stack, clients: Clients):
    async with stack.gateway(catch_up=True) as client:
        await stack.stop("knowledge")
        answers = [await sent(client, a_message(metadata={"n": n})) for n in range(5)]
        skipped = await sent(client, a_message(text="hello"))
        await stack.start("knowledge")

        await eventually(lambda: knows(clients, answers))
        found = await client.post("/v1/search", json={"query": "spare key", "mode": "keyword"})

    assert {answer["knowledge"]["state"] for answer in answers} == {"deferred"}
    assert not await knows(clients, [skipped])
    hits = found.json()["hits"]
    assert {hit["source_event_id"] for hit in hits} == {answer["event_id"] for answer in answers}
    assert {hit["metadata"]["n"] for hit in hits} == set(range(5))


async def test_what_is_caught_up_is_what_the_flow_would_have_stored(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    group = ids.new()
    body = a_message(
        session_id="channel", group_id=group, metadata={"mood": "calm"},
        timestamp="2026-03-01T09:30:00Z",
    )  # fmt: skip
    await sent(gateway, a_message())
    await stack.stop("knowledge")
    deferred = await sent(gateway, body)
    await stack.start("knowledge")

    async with stack.gateway(catch_up=True) as client:
        await eventually(lambda: knows(clients, [deferred]))

        # Storing is idempotent only for the same body.
        async def stored() -> Any:
            answer = await client.post("/v1/messages", json=body)
            return answer.json() if answer.json()["knowledge"]["state"] == "stored" else None

        again = await eventually(stored)
        found = await client.post("/v1/search", json={"query": body["text"], "mode": "keyword"})

    assert again["event_id"] == deferred["event_id"]
    hit = next(
        hit for hit in found.json()["hits"] if hit["source_event_id"] == deferred["event_id"]
    )
    assert hit["metadata"] == {"mood": "calm"}
    assert hit["session_id"] == ids.conversation("discord", "channel")
    assert hit["group_id"] == group
    assert hit["occurred_at"] == "2026-03-01T09:30:00Z"


async def test_a_repeat_stores_what_was_deferred(stack: Stack, gateway: httpx.AsyncClient):
    await stack.stop("knowledge")
    body = a_message()
    first = await sent(gateway, body)
    await stack.start("knowledge")

    async def stored() -> Any:
        answer = (await gateway.post("/v1/messages", json=body)).json()
        return answer if answer["knowledge"]["state"] == "stored" else None

    again = await eventually(stored)

    assert again["knowledge"]["knowledge_id"] == first["knowledge"]["knowledge_id"]


async def test_a_repeat_stores_nobody_elses_messages(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    # Known senders have no registrations between their messages.
    await gateway.post("/v1/messages:batch", json=[a_message(), a_message(sender_id="grace")])
    await stack.stop("knowledge")
    batch = [a_message(sender_id=sender) for sender in ("ada", "grace", "ada")]
    answer = await gateway.post("/v1/messages:batch", json=batch)
    ada, grace, ada_again = answer.json()["results"]
    await stack.start("knowledge")

    async def stored() -> bool:
        await gateway.post("/v1/messages:batch", json=[batch[0], batch[2]])
        return await knows(clients, [ada, ada_again])

    await eventually(stored)

    assert not await knows(clients, [grace])


async def test_consent_that_was_withdrawn_meanwhile_counts(stack: Stack, clients: Clients):
    async with stack.gateway() as client:
        await stack.stop("knowledge")
        shy = await sent(client, a_message(sender_id="shy"))
        open_ = await sent(client, a_message(sender_id="open"))
        denial = {"platform": "discord", "platform_id": "shy", "consent": {"knowledge": "denied"}}
        assert (await client.post("/v1/register", json=denial)).is_success
        await stack.start("knowledge")

    async with stack.gateway(catch_up=True):
        await caught_up_to(clients, open_["position"])

    assert await knows(clients, [open_])
    assert not await knows(clients, [shy])


async def test_what_was_deleted_is_not_brought_back(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    body = a_message()
    deleted = await sent(gateway, body)
    kept = await sent(gateway, a_message())
    await stack.delete_knowledge(deleted["knowledge"]["knowledge_id"])

    async with stack.gateway(catch_up=True) as client:
        await caught_up_to(clients, kept["position"])
        again = await sent(client, body, 200)
        found = await client.post("/v1/search", json={"query": "spare key", "mode": "keyword"})

    assert again["knowledge"]["state"] == "skipped"
    assert again["knowledge"]["reason"] == "deleted"
    assert [hit["source_event_id"] for hit in found.json()["hits"]] == [kept["event_id"]]


async def caught_up_to(clients: Clients, position: int) -> None:
    async def is_there() -> bool:
        return await clients.events.cursor("gateway.catch_up") >= position

    await eventually(is_there)


async def test_events_that_are_too_young_are_left_to_their_own_flow(stack: Stack, clients: Clients):
    async with stack.gateway(catch_up=True, catch_up_grace_seconds=3600) as client:
        young = await sent(client, a_message())
        await asyncio.sleep(0.5)  # many rounds of the reader

        assert await clients.events.cursor("gateway.catch_up") < young["position"]


async def test_a_reader_goes_on_where_the_one_before_it_stopped(stack: Stack, clients: Clients):
    async with stack.gateway(catch_up=True) as client:
        first = await sent(client, a_message())
        await caught_up_to(clients, first["position"])
    position = await clients.events.cursor("gateway.catch_up")

    async with stack.gateway(catch_up=True) as client:
        second = await sent(client, a_message())
        await caught_up_to(clients, second["position"])

    assert second["position"] > position >= first["position"]


async def test_more_than_a_page_is_walked(stack: Stack, clients: Clients):
    async with stack.gateway(knowledge_seconds=0.5) as client:
        await stack.stop("knowledge")
        bodies: list[Body] = [a_message(text=f"Fact number {n} about tea") for n in range(1300)]
        answers = []
        for start in (0, 650):
            batch = await client.post("/v1/messages:batch", json=bodies[start : start + 650])
            answers += batch.json()["results"]
        await stack.start("knowledge")

    async with stack.gateway(catch_up=True):
        await caught_up_to(clients, answers[-1]["position"])

    assert {answer["knowledge"]["state"] for answer in answers} == {"deferred"}
    assert await knows(clients, answers[:1000])
    assert await knows(clients, answers[1000:])


@pytest.mark.parametrize("away", ["identity", "event", "knowledge"])
async def test_a_reader_survives_a_service_that_is_away(stack: Stack, clients: Clients, away: str):
    async with stack.gateway(catch_up=True) as client:
        await sent(client, a_message())
        await stack.stop(away)
        await asyncio.sleep(0.3)
        await stack.start(away)

        async def sent_again() -> Any:
            answer = await client.post("/v1/messages", json=a_message())
            return answer.json() if answer.is_success else None

        answer = await eventually(sent_again)
        await caught_up_to(clients, answer["position"])


async def test_a_registration_that_was_never_logged_is_logged_once(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    account = {"platform": "telegram", "platform_id": "ada"}
    await stack.stop("event")
    refused = await gateway.post("/v1/register", json=account)
    person = (await gateway.get("/v1/resolve", params=account)).json()["person_id"]
    await stack.start("event")

    async with stack.gateway(catch_up=True) as one, stack.gateway(catch_up=True):

        async def logged() -> list[Body]:
            answer = await one.get(f"/v1/persons/{person}/timeline")
            return list(answer.json()["events"]) if answer.is_success else []

        await eventually(logged)
        repeated = await one.post("/v1/register", json=account)
        await asyncio.sleep(0.2)
        events = await timeline(one, person)

    assert refused.status_code == 503
    assert repeated.status_code == 200
    assert [event["event_id"] for event in events] == [repeated.json()["event_id"]]
    assert [links async for links in clients.identity.pending_registrations(None)] == []
