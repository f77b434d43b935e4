"""Edits and deletions of one message at once: the order of the log decides."""

import asyncio
from typing import Any

import httpx
import pytest

from gateway.clients import Clients
from gateway.flows.change_messages import ChangeMessages
from gateway.flows.entries import knowledge_item
from gateway.flows.knowing import Knowing
from gateway.flows.settling import Settling
from gateway.models.messages import MessageEdit
from kith.event.v1 import event_pb2, event_service_pb2
from kith.knowledge.v1 import knowledge_service_pb2
from svckit import ids
from tests.support.edits import NEW, NEWEST, OLD, content, deleted, edited, event, item
from tests.support.messages import a_message, eventually, sent, timeline
from tests.support.stack import Stack


async def test_of_many_edits_at_once_the_last_in_the_log_counts(stack: Stack):
    async with stack.gateway() as one, stack.gateway() as two:
        for first in (OLD, "hello"):
            message = await sent(one, a_message(text=first))
            edits = await asyncio.gather(
                *(
                    edited((one, two)[n % 2], message["event_id"], text=f"{NEW} Number {n}.")
                    for n in range(12)
                )
            )

            last = max(edits, key=lambda edit: edit["position"])
            assert {edit["knowledge"]["state"] for edit in edits} == {"stored"}
            text = (await event(one, last["event_id"]))["content"]["text"]
            assert await content(one, message["event_id"]) == text


async def test_an_edit_that_is_overtaken_while_it_writes_leaves_the_newer_one(
    gateway: httpx.AsyncClient, clients: Clients, monkeypatch: pytest.MonkeyPatch
):
    message = await sent(gateway, a_message(text=OLD))
    ask, newest = clients.knowledge.ask, []

    async def overtaken(method: Any, request: Any) -> Any:
        answer = await ask(method, request)
        if isinstance(request, knowledge_service_pb2.GetKnowledgeRequest) and not newest:
            newest.append(await edited(gateway, message["event_id"], text=NEWEST))
        return answer

    monkeypatch.setattr(clients.knowledge, "ask", overtaken)
    settling = Settling(clients, Knowing(clients, "allow", 5.0), 5.0)
    change = ChangeMessages(clients, settling, "allow")
    answer = await change.edit(message["event_id"], ids.new(), MessageEdit(text=NEW))

    assert answer["position"] < newest[0]["position"]
    assert answer["knowledge"]["index_token"] == newest[0]["knowledge"]["index_token"]
    assert await content(gateway, message["event_id"]) == NEWEST


async def test_what_is_edited_while_it_is_deleted_is_deleted(stack: Stack):
    async with stack.gateway() as one, stack.gateway() as two:
        for _ in range(4):
            message = await sent(one, a_message(text=OLD))
            path = f"/v1/messages/{message['event_id']}"
            answers = await asyncio.gather(
                *(two.put(path, json={"text": NEW, "edit_id": str(n)}) for n in range(5)),
                one.delete(path),
                *(two.put(path, json={"text": NEW, "edit_id": str(n)}) for n in range(5, 10)),
            )

            assert {answer.status_code for answer in answers} <= {200, 201, 410}
            assert await item(one, message["event_id"]) is None
            told = await timeline(one, message["person_id"])
            assert not [each for each in told if "text" in each["content"]]


async def test_a_deletion_comes_before_what_is_stored_late(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    await stack.stop("knowledge")
    message = await sent(gateway, a_message(text=OLD))
    events = clients.events
    stale: event_pb2.Event = (
        await events.ask(
            events.stub.GetEvent, event_service_pb2.GetEventRequest(event_id=message["event_id"])
        )
    ).event
    await stack.start("knowledge")

    async def is_done() -> bool:
        answer = await deleted(gateway, message["event_id"], edit_id="d")
        return bool(answer["knowledge"]["state"] == "skipped")

    await eventually(is_done)
    [late] = await clients.knowledge.store([knowledge_item(stale)])

    assert not isinstance(late, BaseException)
    assert late.outcome == knowledge_service_pb2.STORE_OUTCOME_DELETED
