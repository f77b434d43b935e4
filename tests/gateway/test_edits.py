"""Messages that are edited and deleted: events of their own, and knowledge that follows."""

from typing import Any

import httpx
import pytest

from gateway.clients import Clients
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
from tests.support.messages import Body, a_message, fields, problem, sent, timeline
from tests.support.stack import Stack


async def test_an_edit_is_an_event_of_its_own_and_knowledge_follows(gateway: httpx.AsyncClient):
    group = ids.new()
    body = a_message(text=OLD, session_id="channel", group_id=group, metadata={"mood": "calm"})
    message = await sent(gateway, body)

    edit = await edited(gateway, message["event_id"], edit_id="2", timestamp="2026-03-01T09:30:00Z")

    knowledge_id = message["knowledge"]["knowledge_id"]
    assert edit["knowledge"].pop("index_token")
    assert edit == {
        "person_id": message["person_id"], "position": edit["position"], "duplicate": False,
        "event_id": ids.named(message["event_id"], "edit", "2"),
        "knowledge": {"state": "stored", "knowledge_id": knowledge_id, "reason": "relevant"},
    }  # fmt: skip
    first, second = (
        await event(gateway, message["event_id"]),
        await event(gateway, edit["event_id"]),
    )
    assert (first["content"]["text"], first["redacted_at"]) == (OLD, None)
    assert second["event_type"] == "message_edit"
    assert second["content"] == {
        "text": NEW, "role": "user", "message_id": body["message_id"],
        "message_event_id": message["event_id"],
    }  # fmt: skip
    assert second["occurred_at"] == "2026-03-01T09:30:00Z"
    for name in ("person_id", "link_id", "group_id", "session_id", "session_key", "platform"):
        assert second[name] == first[name], name
    told = await timeline(gateway, message["person_id"], order="asc")
    assert [each["event_type"] for each in told] == ["registration", "message", "message_edit"]
    known = await item(gateway, message["event_id"])
    assert known is not None
    assert (known["content"], known["source_event_id"]) == (NEW, message["event_id"])
    mark = {"event_id": edit["event_id"], "position": edit["position"]}
    assert known["metadata"] == {"mood": "calm", "kith": {"edit": mark}}
    hits = (await gateway.post("/v1/search", json={"query": "Porto", "mode": "keyword"})).json()
    assert [hit["knowledge_id"] for hit in hits["hits"]] == [knowledge_id]


async def test_a_repeat_answers_as_the_first_call_and_changes_nothing(gateway: httpx.AsyncClient):
    message = await sent(gateway, a_message(text=OLD))
    first = await edited(gateway, message["event_id"], edit_id="2")

    again = await edited(gateway, message["event_id"], 200, edit_id="2")
    assert again == {**first, "duplicate": True}
    other = await gateway.put(
        f"/v1/messages/{message['event_id']}", json={"text": NEWEST, "edit_id": "2"}
    )
    assert (other.status_code, problem(other)["reason"]) == (409, "IDEMPOTENCY_CONFLICT")

    newest = await edited(gateway, message["event_id"], text=NEWEST)
    late = await edited(gateway, message["event_id"], 200, edit_id="2")

    assert late["knowledge"]["index_token"] == newest["knowledge"]["index_token"]
    late["knowledge"]["index_token"] = first["knowledge"]["index_token"]
    assert late == {**first, "duplicate": True}
    assert await content(gateway, message["event_id"]) == NEWEST


async def test_a_change_may_be_named_by_an_idempotency_key(gateway: httpx.AsyncClient):
    one, two = [await sent(gateway, a_message(text=OLD)) for _ in range(2)]
    headers = {"idempotency-key": "k"}

    answers = [
        await gateway.request(
            method, f"/v1/messages/{message['event_id']}", headers=headers, json=j
        )
        for message in (one, one, two)
        for method, j in (("PUT", {"text": NEW}),)
    ]
    deletion = await gateway.delete(f"/v1/messages/{one['event_id']}", headers=headers)

    assert [answer.status_code for answer in answers] == [201, 200, 201]
    names = [answer.json()["event_id"] for answer in (*answers, deletion)]
    path = f"/v1/messages/{one['event_id']}"
    assert names[:2] == [ids.named("local", f"{path} edit", "k")] * 2
    assert names[3] == ids.named("local", f"{path} delete", "k")
    assert len(set(names)) == 3


async def test_edits_without_a_name_are_edits_of_their_own(gateway: httpx.AsyncClient):
    message = await sent(gateway, a_message(text=OLD))

    one, two = [await edited(gateway, message["event_id"]) for _ in range(2)]

    assert one["event_id"] != two["event_id"]
    assert one["position"] < two["position"]


async def test_a_deletion_takes_away_every_text_and_the_knowledge(gateway: httpx.AsyncClient):
    message = await sent(gateway, a_message(text=OLD))
    edits = [await edited(gateway, message["event_id"], text=text) for text in (NEW, NEWEST)]

    answer = await deleted(gateway, message["event_id"], edit_id="d")

    assert answer == {
        "person_id": message["person_id"], "position": answer["position"], "duplicate": False,
        "event_id": ids.named(message["event_id"], "delete", "d"),
        "knowledge": {
            "state": "skipped", "knowledge_id": None, "index_token": None, "reason": "deleted",
        },
    }  # fmt: skip
    for each in (message, *edits):
        gone = await event(gateway, each["event_id"])
        assert (gone["content"], gone["metadata"]) == ({}, {})
        assert gone["redaction_reason"] == "message_delete"
    told = await event(gateway, answer["event_id"])
    assert told["event_type"] == "message_delete"
    assert told["content"]["message_event_id"] == message["event_id"]
    assert told["redacted_at"] is None
    assert await item(gateway, message["event_id"]) is None


async def test_what_was_deleted_is_gone_but_retries_are_answered(gateway: httpx.AsyncClient):
    body = a_message(text=OLD)
    message = await sent(gateway, body)
    await edited(gateway, message["event_id"], edit_id="e")
    first = await deleted(gateway, message["event_id"], edit_id="d")

    again = await deleted(gateway, message["event_id"], edit_id="d")
    late = await edited(gateway, message["event_id"], 200, edit_id="e")
    posted = await sent(gateway, body, 200)

    assert again == {**first, "duplicate": True}
    assert (late["knowledge"]["reason"], posted["knowledge"]["reason"]) == ("deleted", "gone")
    for answer in (
        await gateway.put(f"/v1/messages/{message['event_id']}", json={"text": NEW}),
        await gateway.delete(f"/v1/messages/{message['event_id']}"),
    ):
        assert (answer.status_code, problem(answer)["reason"]) == (410, "MESSAGE_GONE")
    assert await item(gateway, message["event_id"]) is None


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_only_messages_can_be_changed(gateway: httpx.AsyncClient, method: str):
    message = await sent(gateway, a_message())
    edit = await edited(gateway, message["event_id"])
    note = {"event_type": "message", "platform": "web", "content": {"text": "hello"}}
    nobodys = (await gateway.post("/v1/events", json=note)).json()

    async def refused(event_id: str) -> httpx.Response:
        body = {"text": NEW} if method == "PUT" else None
        return await gateway.request(method, f"/v1/messages/{event_id}", json=body)

    unknown = await refused(ids.new())
    assert (unknown.status_code, problem(unknown)["reason"]) == (404, "EVENT_NOT_FOUND")
    for other in (edit, nobodys):
        answer = await refused(other["event_id"])
        assert (answer.status_code, problem(answer)["reason"]) == (409, "NOT_A_MESSAGE")
    assert fields(await refused("message")) == ["event_id"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": "ü" * (16 << 10) + "."}, "text"),
        ({"text": "x", "edit_id": ""}, "edit_id"),
        ({"text": "x", "edit_id": 7}, "edit_id"),
        ({"text": "x", "timestamp": "yesterday"}, "timestamp"),
        ({"text": "x", "metadata": {"kith": 1}}, "metadata.kith"),
        ({"text": "x", "metadata": {"a": "x" * (16 << 10)}}, "metadata"),
        ({"text": "x", "store_as_knowledge": True}, "store_as_knowledge"),
    ],
)
async def test_an_edit_names_what_is_wrong_with_it(
    gateway: httpx.AsyncClient, body: Body, field: str
):
    assert fields(await gateway.put(f"/v1/messages/{ids.new()}", json=body)) == [field]


@pytest.mark.parametrize("query", [{"edit_id": ""}, {"timestamp": "now"}, {"reason": "x"}])
async def test_a_deletion_names_what_is_wrong_with_it(gateway: httpx.AsyncClient, query: Body):
    answer = await gateway.delete(f"/v1/messages/{ids.new()}", params=query)

    assert fields(answer) == list(query)


async def test_of_somebody_who_denies_messages_no_text_is_logged(gateway: httpx.AsyncClient):
    message = await sent(gateway, a_message(text=OLD))
    await consent(gateway, message["person_id"], messages="denied")

    edit = await edited(gateway, message["event_id"], edit_id="e")
    await consent(gateway, message["person_id"], messages="granted")
    again = await edited(gateway, message["event_id"], 200, edit_id="e")

    assert edit["knowledge"] == {
        "state": "skipped", "knowledge_id": None, "index_token": None, "reason": "consent_denied",
    }  # fmt: skip
    assert again == {**edit, "duplicate": True}
    assert "text" not in (await event(gateway, edit["event_id"]))["content"]
    assert await content(gateway, message["event_id"]) == OLD


async def test_of_somebody_who_denies_knowledge_none_is_changed(
    stack: Stack, gateway: httpx.AsyncClient, clients: Clients
):
    message = await sent(gateway, a_message(text=OLD))
    await consent(gateway, message["person_id"], knowledge="denied")

    edit = await edited(gateway, message["event_id"])
    await caught_up(stack, clients, edit["position"])

    assert edit["knowledge"]["reason"] == "consent_denied"
    assert (await event(gateway, edit["event_id"]))["content"]["text"] == NEW
    assert await content(gateway, message["event_id"]) == OLD


@pytest.mark.parametrize(
    ("first", "changes", "said", "reasons"),
    [
        ({"text": "hello"}, [NEW], NEW, ["relevant"]),
        ({"text": "hello"}, ["hi", "ok"], None, ["greeting", "greeting"]),
        ({"text": "hello"}, [NEW, "ok"], "ok", ["relevant", "followed"]),
        ({"text": OLD}, ["/start"], "/start", ["followed"]),
        ({"text": OLD, "store_as_knowledge": False}, [NEW], None, ["declined"]),
        ({"text": "hello", "store_as_knowledge": True}, ["ok"], "ok", ["asked_for"]),
    ],
)
async def test_what_was_worth_knowing_once_follows_whatever_it_says_later(
    gateway: httpx.AsyncClient, first: Body, changes: list[str], said: str | None,
    reasons: list[str],
):  # fmt: skip
    message = await sent(gateway, a_message(**first))

    edits = [
        await edited(gateway, message["event_id"], text=text, edit_id=text) for text in changes
    ]
    again = [
        await edited(gateway, message["event_id"], 200, text=text, edit_id=text) for text in changes
    ]

    assert [edit["knowledge"]["reason"] for edit in edits] == reasons
    assert [edit["knowledge"]["reason"] for edit in again] == reasons
    assert await content(gateway, message["event_id"]) == said


async def test_metadata_of_an_edit_takes_the_place_of_what_was_there(gateway: httpx.AsyncClient):
    old = {"a": 1, "deep": {"b": 1, "c": [1]}, "flat": 1, "null": None}
    message = await sent(gateway, a_message(text=OLD, metadata=old))

    async def known() -> Any:
        found = await item(gateway, message["event_id"])
        assert found is not None
        assert found["metadata"].pop("kith").keys() == {"edit"}
        return found["metadata"]

    await edited(gateway, message["event_id"])
    assert await known() == old
    new = {"a": True, "deep": {"b": {"d": 1}, "gone": None}, "flat": {"x": 1, "y": None}}
    await edited(gateway, message["event_id"], metadata=new)
    assert await known() == {"a": True, "deep": {"b": {"d": 1}}, "flat": {"x": 1}}
    await edited(gateway, message["event_id"], text=NEWEST)
    assert await known() == {"a": True, "deep": {"b": {"d": 1}}, "flat": {"x": 1}}
    await edited(gateway, message["event_id"], metadata={})
    assert await known() == {}


async def test_the_most_metadata_can_be_edited(gateway: httpx.AsyncClient):
    most = {f"{n:04}": "x" * 6 for n in range(1000)}
    message = await sent(gateway, a_message(text=OLD, metadata={"x": "y" * ((16 << 10) - 8)}))

    first = await edited(gateway, message["event_id"])
    second = await edited(gateway, message["event_id"], metadata=most)
    third = await edited(
        gateway, message["event_id"], metadata={f"{n:04}_": "x" * 4 for n in range(1000)}
    )

    assert [each["knowledge"]["state"] for each in (first, second, third)] == ["stored"] * 3
    found = await item(gateway, message["event_id"])
    assert found is not None
    assert len(found["metadata"]) == 1001


async def test_redacting_an_edit_takes_the_knowledge_that_says_it(gateway: httpx.AsyncClient):
    message = await sent(gateway, a_message(text=OLD))
    edit = await edited(gateway, message["event_id"])

    body = {"event_ids": [edit["event_id"]], "reason": "asked"}
    assert (await gateway.post("/v1/events:redact", json=body)).is_success

    assert await item(gateway, message["event_id"]) is None


async def test_a_context_has_messages_as_they_read_now(gateway: httpx.AsyncClient):
    one, two, three = [await sent(gateway, a_message(text=f"{OLD} {n}")) for n in range(3)]
    edits = [await edited(gateway, one["event_id"], text=text) for text in (NEW, NEWEST)]
    await deleted(gateway, two["event_id"])

    request = {"person_id": one["person_id"], "query": "house"}
    context = (await gateway.post("/v1/context", json=request)).json()

    said = [(each["event_id"], each["content"]["text"]) for each in context["messages"]["items"]]
    assert said == [(one["event_id"], NEWEST), (three["event_id"], f"{OLD} 2")]
    mark = context["messages"]["items"][0]["metadata"]["kith"]["edit"]
    assert mark["event_id"] == edits[1]["event_id"]
