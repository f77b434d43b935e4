"""People who were merged and are not any more: each decides about what they said meanwhile."""

from typing import Any

import httpx
import pytest

from tests.support.messages import Body, a_message, sent

Json = dict[str, Any]

TEXT = "The zanzibar tickets lie in the drawer."


async def done(answer: httpx.Response) -> Json:
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


async def merged(gateway: httpx.AsyncClient, source: str, target: str) -> None:
    body = {"source_person_id": source}
    await done(await gateway.post(f"/v1/persons/{target}/merge", json=body))


async def unmerged(gateway: httpx.AsyncClient, source: str, target: str) -> None:
    body = {"source_person_id": source}
    await done(await gateway.post(f"/v1/persons/{target}/unmerge", json=body))


async def denies(gateway: httpx.AsyncClient, person_id: str, purpose: str = "knowledge") -> None:
    body = {"purposes": {purpose: "denied"}}
    await done(await gateway.patch(f"/v1/persons/{person_id}/consent", json=body))


async def found(gateway: httpx.AsyncClient, **scope: Any) -> list[str]:
    body = {"query": "zanzibar", "mode": "keyword", **scope}
    answer = await done(await gateway.post("/v1/search", json=body))
    return [hit["content"] for hit in answer["hits"]]


@pytest.fixture
async def people(gateway: httpx.AsyncClient) -> tuple[str, str, str]:
    """Alice, Bob, and Carol."""
    alice, bob, carol = [
        (await sent(gateway, a_message(sender_id=name)))["person_id"]
        for name in ("alice", "bob", "carol")
    ]
    return alice, bob, carol


def a_secret(**changes: Any) -> Body:
    return a_message(sender_id="alice", text=TEXT, **changes)


async def test_a_denial_hides_what_was_said_while_merged(
    gateway: httpx.AsyncClient, people: tuple[str, str, str]
):
    alice, bob, _ = people
    await merged(gateway, alice, bob)
    said = await sent(gateway, a_secret())
    await unmerged(gateway, alice, bob)
    assert said["person_id"] == bob
    assert await found(gateway) == await found(gateway, person_id=alice) == [TEXT]

    await denies(gateway, alice)

    assert await found(gateway) == await found(gateway, person_id=alice) == []
    items = (await done(await gateway.get("/v1/knowledge")))["items"]
    assert TEXT not in [item["content"] for item in items]


async def test_a_denial_hides_nothing_of_somebody_they_were_merged_with(
    gateway: httpx.AsyncClient, people: tuple[str, str, str]
):
    alice, bob, _ = people
    await merged(gateway, alice, bob)
    await sent(gateway, a_secret())
    await unmerged(gateway, alice, bob)

    await denies(gateway, bob)

    assert await found(gateway) == await found(gateway, person_id=alice) == [TEXT]


async def test_a_chain_that_came_apart_link_by_link_leads_to_who_said_it(
    gateway: httpx.AsyncClient, people: tuple[str, str, str]
):
    alice, bob, carol = people
    await merged(gateway, alice, bob)
    await merged(gateway, bob, carol)
    said = await sent(gateway, a_secret())
    await unmerged(gateway, bob, carol)
    await unmerged(gateway, alice, bob)
    assert said["person_id"] == carol

    await denies(gateway, bob)
    await denies(gateway, carol)
    assert await found(gateway) == [TEXT]
    await denies(gateway, alice)
    assert await found(gateway) == []


async def test_an_edit_asks_whoever_said_it(
    gateway: httpx.AsyncClient, people: tuple[str, str, str]
):
    alice, bob, _ = people
    await merged(gateway, alice, bob)
    said = await sent(gateway, a_secret())
    await unmerged(gateway, alice, bob)
    await denies(gateway, alice, "messages")

    edit = {"text": "The zanzibar tickets lie under the bed."}
    answer = await done(await gateway.put(f"/v1/messages/{said['event_id']}", json=edit))

    assert answer["knowledge"]["reason"] == "consent_denied"
    event = await done(await gateway.get(f"/v1/events/{answer['event_id']}"))
    assert "text" not in event["content"]


async def test_a_repeat_does_not_make_up_for_knowledge_that_is_denied_since(
    gateway: httpx.AsyncClient, people: tuple[str, str, str]
):
    alice, bob, _ = people
    await merged(gateway, alice, bob)
    body = a_secret()
    await sent(gateway, body)
    await unmerged(gateway, alice, bob)
    await denies(gateway, alice)

    again = await sent(gateway, body, 200)

    assert again["knowledge"]["reason"] == "consent_denied"
