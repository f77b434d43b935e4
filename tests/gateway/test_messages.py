"""POST /v1/messages: what is answered, what is logged, what a retry is."""

import asyncio

import asyncpg
import httpx
import pytest

from gateway.values import TEXT_BYTES
from svckit import ids
from tests.support.cluster import Database
from tests.support.messages import (
    a_message,
    a_reply,
    problem,
    sent,
    texts,
    timeline,
)
from tests.support.stack import Stack


async def test_a_first_message_makes_its_sender_known(gateway: httpx.AsyncClient):
    body = a_message()

    answer = await sent(gateway, body)

    events = await timeline(gateway, answer["person_id"], order="asc")
    assert [event["event_type"] for event in events] == ["registration", "message"]
    assert events[0]["event_id"] == ids.derived(events[0]["link_id"], "registration")
    assert events[0]["content"] == {"platform_id": "ada"}
    assert events[1]["event_id"] == answer["event_id"]
    assert events[1]["position"] == answer["position"] > events[0]["position"]
    assert events[1]["content"] == {
        "text": body["text"], "message_id": body["message_id"], "role": "user"
    }  # fmt: skip
    assert not answer["duplicate"]
    assert answer["knowledge"]["state"] == "stored"
    assert answer["knowledge"]["knowledge_id"] == ids.derived(answer["event_id"], "knowledge")
    assert answer["knowledge"]["index_token"]


async def test_a_repeat_is_answered_as_the_first_was(gateway: httpx.AsyncClient):
    body = a_message()

    first = await sent(gateway, body)
    second = await sent(gateway, body, status=200)

    assert second == {**first, "duplicate": True}
    assert len(await timeline(gateway, first["person_id"])) == 2


async def test_spelling_does_not_make_another_message(gateway: httpx.AsyncClient):
    body = a_message(platform="Telegram", sender_id="@Ada", timestamp="2026-03-01T09:30:00Z")

    first = await sent(gateway, body)
    second = await sent(
        gateway, {**body, "platform": "telegram", "timestamp": "2026-03-01T10:30:00+01:00"}, 200
    )

    assert second["event_id"] == first["event_id"]
    assert first["event_id"] == ids.named("telegram", "", "ada", body["message_id"])


async def test_an_id_that_was_used_for_something_else_is_a_conflict(gateway: httpx.AsyncClient):
    body = a_message()
    first = await sent(gateway, body)

    answer = await gateway.post("/v1/messages", json={**body, "text": "Something else entirely."})

    assert answer.status_code == 409
    assert problem(answer)["reason"] == "IDEMPOTENCY_CONFLICT"
    assert problem(answer)["event_id"] == first["event_id"]
    assert len(await texts(gateway, first["person_id"])) == 1


async def test_a_message_id_counts_within_its_conversation(gateway: httpx.AsyncClient):
    body = a_message()
    group = "0192D3A4-7C1E-7B52-9F10-5A0C6D1E2F30"

    answers = [
        await sent(gateway, body),
        await sent(gateway, {**body, "session_id": "channel-1"}),
        await sent(gateway, {**body, "session_id": "channel-2"}),
        await sent(gateway, {**body, "group_id": group, "session_id": "channel-1"}),
        await sent(gateway, {**body, "sender_id": "grace"}),
    ]
    repeated = await sent(
        gateway, {**body, "group_id": group.lower(), "session_id": "channel-1"}, 200
    )

    assert len({answer["event_id"] for answer in answers}) == 5
    assert answers[1]["event_id"] == ids.named("discord", "channel-1", "ada", body["message_id"])
    assert repeated["event_id"] == answers[3]["event_id"]


@pytest.mark.parametrize("field", ["session_id", "group_id"])
async def test_a_uuid_may_be_written_in_either_case(gateway: httpx.AsyncClient, field: str):
    body = a_message(**{field: "0192D3A4-7C1E-7B52-9F10-5A0C6D1E2F30"})

    first = await sent(gateway, body)
    second = await sent(gateway, {**body, field: body[field].lower()}, 200)

    assert second == {**first, "duplicate": True}


async def test_without_an_id_every_message_is_new(gateway: httpx.AsyncClient):
    body = a_message(message_id=None)

    first, second = await sent(gateway, body), await sent(gateway, body)

    assert first["event_id"] != second["event_id"]


async def test_an_idempotency_key_names_a_message_without_an_id(gateway: httpx.AsyncClient):
    body = a_message(message_id=None)
    headers = {"idempotency-key": "7"}

    first = await gateway.post("/v1/messages", json=body, headers=headers)
    second = await gateway.post("/v1/messages", json=body, headers=headers)
    other = await gateway.post("/v1/messages", json=a_message(message_id=None), headers=headers)

    assert (first.status_code, second.status_code, other.status_code) == (201, 200, 409)
    assert first.json()["event_id"] == second.json()["event_id"]
    assert first.json()["event_id"] == ids.named("local", "/v1/messages", "7")


async def test_what_the_client_knows_is_kept_with_the_event(gateway: httpx.AsyncClient):
    group = ids.new()
    body = a_message(
        timestamp="2026-03-01T09:30:00.123456+02:00", session_id="channel-7", group_id=group,
        metadata={"mood": "happy", "n": [1, 2.5, None, {"deep": True}]},
    )  # fmt: skip

    answer = await sent(gateway, body)

    [event] = await timeline(gateway, answer["person_id"], event_type="message")
    assert event["occurred_at"] == "2026-03-01T07:30:00.123456Z"
    assert event["created_at"] > event["occurred_at"]
    assert event["session_id"] == ids.conversation("discord", "channel-7")
    assert event["session_key"] == "channel-7"
    assert event["group_id"] == group
    assert event["platform"] == "discord"
    assert event["metadata"] == {
        **body["metadata"], "kith": {"knowledge": {"wanted": True, "reason": "relevant"}}
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "👩‍👩‍👧 I love it here 🎉🏳️‍🌈",
        "أنا أعيش في القاهرة ولدي قطتان",
        "אני גר בתל אביב עם שני חתולים",
        "我上个月搬到了里斯本，住在河边",
        "  leading, trailing and\n\n\tinner\r\nwhitespace  ",
        "combining: e\u0301 and zero width: a\u200bb \u202eright to left\u202c",
        "x" * TEXT_BYTES,
        "é" * (TEXT_BYTES // 2),
        "𝔘" * (TEXT_BYTES // 4),
        'quotes " and \\ backslashes, <b>tags</b> & {"json": [1]}',
    ],
    ids=lambda text: text[:12],
)
async def test_text_is_kept_verbatim(gateway: httpx.AsyncClient, text: str):
    answer = await sent(gateway, a_message(text=text))

    assert await texts(gateway, answer["person_id"]) == [text]
    assert answer["knowledge"]["state"] == "stored"


async def test_what_is_not_worth_knowing_is_logged_and_no_more(gateway: httpx.AsyncClient):
    answer = await sent(gateway, a_message(text="/start"))

    assert answer["knowledge"] == {
        "state": "skipped", "knowledge_id": None, "index_token": None, "reason": "command"
    }  # fmt: skip
    assert await texts(gateway, answer["person_id"]) == ["/start"]


async def test_the_caller_may_choose(gateway: httpx.AsyncClient):
    asked = await sent(gateway, a_message(text="hi", store_as_knowledge=True))
    declined = await sent(gateway, a_message(store_as_knowledge=False))

    assert (asked["knowledge"]["state"], asked["knowledge"]["reason"]) == ("stored", "asked_for")
    assert declined["knowledge"]["state"] == "skipped"
    assert declined["knowledge"]["reason"] == "declined"


async def test_what_a_bot_says_belongs_to_whom_it_is_said(gateway: httpx.AsyncClient):
    person = (await sent(gateway, a_message()))["person_id"]
    body = a_reply(text="Lisbon! Do you live near the river?", message_id="r1")

    answer = await sent(gateway, body)

    assert answer["person_id"] == person
    assert answer["event_id"] == ids.named("discord", "", "bot", "r1")
    events = await timeline(gateway, person, event_type="message")
    assert events[0]["content"]["role"] == "assistant"
    assert events[0]["metadata"]["kith"]["sender_id"] == "bot"


async def test_a_bot_registers_nobody(gateway: httpx.AsyncClient):
    answer = await gateway.post("/v1/messages", json=a_reply(to_sender_id="nobody"))

    assert answer.status_code == 404
    assert problem(answer)["reason"] == "LINK_NOT_FOUND"
    for platform_id in ("nobody", "bot"):
        account = {"platform": "discord", "platform_id": platform_id}
        assert (await gateway.get("/v1/resolve", params=account)).status_code == 404


async def test_unknown_senders_may_be_rejected(stack: Stack, gateway: httpx.AsyncClient):
    await sent(gateway, a_message(sender_id="known"))

    async with stack.gateway(unknown_sender="reject") as strict:
        unknown = await strict.post("/v1/messages", json=a_message(sender_id="unknown"))
        known = await strict.post("/v1/messages", json=a_message(sender_id="known"))

    assert unknown.status_code == 404
    assert problem(unknown)["reason"] == "LINK_NOT_FOUND"
    assert known.status_code == 201


async def test_an_error_about_an_id_names_the_field_that_the_client_knows(
    gateway: httpx.AsyncClient,
):
    user = await gateway.post("/v1/messages", json=a_message(sender_id="a\x1bb"))
    bot = await gateway.post("/v1/messages", json=a_reply(to_sender_id="a\x1bb"))

    assert problem(user)["errors"][0]["field"] == "sender_id"
    assert problem(bot)["errors"][0]["field"] == "to_sender_id"


async def test_messages_of_many_at_once_are_all_logged(gateway: httpx.AsyncClient):
    bodies = [a_message(sender_id=f"person-{n % 10}") for n in range(200)]

    answers = await asyncio.gather(*(sent(gateway, body) for body in bodies))

    assert len({answer["event_id"] for answer in answers}) == 200
    assert len({answer["position"] for answer in answers}) == 200
    assert len({answer["person_id"] for answer in answers}) == 10


async def test_a_repeat_of_what_the_log_has_forgotten_writes_nothing(
    gateway: httpx.AsyncClient, database: Database
):
    body = a_message()
    first = await sent(gateway, body)
    connection = await asyncpg.connect(database.url())
    await connection.execute("DELETE FROM event.event_log WHERE event_type = 'message'")
    await connection.close()

    again = await sent(gateway, body, 200)

    assert again["event_id"] == first["event_id"]
    assert again["duplicate"]
    assert (again["knowledge"]["state"], again["knowledge"]["reason"]) == ("skipped", "gone")
    assert await texts(gateway, first["person_id"]) == []
