"""What an edit or a deletion could not finish is finished later, in the order of the log."""

from typing import Any

import httpx

from gateway.clients import Clients
from gateway.flows.versions import deletion_event
from gateway.models.messages import MessageDeletion
from kith.event.v1 import event_service_pb2
from svckit import ids
from tests.support.edits import (
    NEW,
    NEWEST,
    OLD,
    caught_up,
    consent,
    content,
    deleted,
    edited,
    event,
    item,
)
from tests.support.messages import a_message, eventually, sent, timeline
from tests.support.stack import Stack


async def test_an_edit_does_not_wait_for_knowledge(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    message = await sent(gateway, a_message(text=OLD))
    await stack.stop("knowledge")

    first = await edited(gateway, message["event_id"], edit_id="1")
    again = await edited(gateway, message["event_id"], 200, edit_id="1")
    last = await edited(gateway, message["event_id"], text=NEWEST)
    await stack.start("knowledge")
    await caught_up(stack, clients, last["position"])

    assert first["knowledge"] == {
        "state": "deferred", "index_token": None, "reason": "knowledge_unavailable",
        "knowledge_id": message["knowledge"]["knowledge_id"],
    }  # fmt: skip
    assert again == {**first, "duplicate": True}
    assert await content(gateway, message["event_id"]) == NEWEST


async def test_a_deletion_does_not_wait_for_knowledge(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    message = await sent(gateway, a_message(text=OLD))
    await stack.stop("knowledge")

    first = await deleted(gateway, message["event_id"], edit_id="d")
    text_after = (await event(gateway, message["event_id"]))["content"]
    await stack.start("knowledge")
    await caught_up(stack, clients, first["position"])

    assert (first["knowledge"]["state"], text_after) == ("deferred", {})
    assert await item(gateway, message["event_id"]) is None


async def test_an_original_that_is_stored_late_says_what_its_newest_edit_says(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    await stack.stop("knowledge")
    body = a_message(text=OLD, metadata={"n": 1})
    message = await sent(gateway, body)
    await edited(gateway, message["event_id"], text=NEW, metadata={"n": 2})
    newest = await edited(gateway, message["event_id"], text=NEWEST)
    await stack.start("knowledge")

    async def stored() -> Any:
        # A retry of the message itself stores it, without any reader.
        answer = (await gateway.post("/v1/messages", json=body)).json()
        return answer if answer["knowledge"]["state"] == "stored" else None

    again = await eventually(stored)
    found = await item(gateway, message["event_id"])
    await caught_up(stack, clients, newest["position"])

    assert again["knowledge"]["reason"] == "relevant"
    assert found is not None
    mark = {"event_id": newest["event_id"], "position": newest["position"]}
    assert (found["content"], found["metadata"]) == (NEWEST, {"n": 2, "kith": {"edit": mark}})
    after = await item(gateway, message["event_id"])
    assert after is not None
    assert after["etag"] == found["etag"]


async def test_a_batch_that_was_changed_meanwhile_is_caught_up_as_it_is_now(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    await sent(gateway, a_message())
    await stack.stop("knowledge")
    batch = [a_message(text="hello" if n % 4 == 3 else f"{OLD} {n}") for n in range(16)]
    answer = await gateway.post("/v1/messages:batch", json=batch)
    messages = [one["event_id"] for one in answer.json()["results"]]
    expected: dict[str, str | None] = {}
    for n, message in enumerate(messages):
        expected[message] = None if n % 4 == 3 else f"{OLD} {n}"
        if n % 2:
            await edited(gateway, message, text=f"{NEW} {n}")
            await edited(gateway, message, text=f"{NEWEST} {n}")
            expected[message] = f"{NEWEST} {n}"
        if n % 5 == 0:
            last = await deleted(gateway, message)
            expected[message] = None
    await stack.start("knowledge")

    await caught_up(stack, clients, last["position"])

    assert {each: await content(gateway, each) for each in messages} == expected


async def test_the_reader_leaves_what_is_newer_and_what_an_app_has_changed(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    message = await sent(gateway, a_message(text=OLD))
    await edited(gateway, message["event_id"], text=NEW)
    newest = await edited(gateway, message["event_id"], text=NEWEST)
    path = f"/v1/knowledge/{message['knowledge']['knowledge_id']}"
    changed = (await gateway.patch(path, json={"content": "Lives in a tent."})).json()

    await caught_up(stack, clients, newest["position"])

    found = await item(gateway, message["event_id"])
    assert found is not None
    assert (found["content"], found["etag"]) == ("Lives in a tent.", changed["etag"])


async def test_a_deletion_that_got_no_further_than_the_log_is_finished(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    message = await sent(gateway, a_message(text=OLD))
    edit = await edited(gateway, message["event_id"])
    # What a gateway that died leaves.
    events = clients.events
    original = await events.ask(
        events.stub.GetEvent, event_service_pb2.GetEventRequest(event_id=message["event_id"])
    )
    new = deletion_event(ids.new(), original.event, MessageDeletion())
    [logged] = await events.log([event_service_pb2.LogEventsRequest(events=[new])])
    assert not isinstance(logged, BaseException)

    await caught_up(stack, clients, logged.events[0].position)

    for each in (message, edit):
        assert (await event(gateway, each["event_id"]))["redaction_reason"] == "message_delete"
    assert await item(gateway, message["event_id"]) is None


async def test_an_app_may_log_such_events_of_its_own(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    message = await sent(gateway, a_message(text=OLD))
    for event_type in ("message_edit", "message_delete"):
        body = {
            "event_type": event_type, "platform": "discord", "platform_id": "ada",
            "content": {"message_event_id": message["event_id"], "text": NEW},
        }  # fmt: skip
        logged = (await gateway.post("/v1/events", json=body)).json()

    await caught_up(stack, clients, logged["position"])

    assert await content(gateway, message["event_id"]) == OLD
    assert len(await timeline(gateway, message["person_id"], event_type="message")) == 1


async def test_consent_that_was_withdrawn_meanwhile_counts_for_edits(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    message = await sent(gateway, a_message(text=OLD))
    await stack.stop("knowledge")
    edit = await edited(gateway, message["event_id"])
    await consent(gateway, message["person_id"], knowledge="denied")
    await stack.start("knowledge")

    await caught_up(stack, clients, edit["position"])

    assert await content(gateway, message["event_id"]) == OLD
