"""POST /v1/messages:batch with a JSON array."""

from typing import Any

import httpx

from svckit import ids
from tests.support.messages import Body, a_message, a_reply, sent, texts, timeline


async def batch(client: httpx.AsyncClient, bodies: list[Body], **headers: str) -> list[Any]:
    answer = await client.post("/v1/messages:batch", json=bodies, headers=headers)
    assert answer.status_code == 200, answer.text
    results: list[Any] = answer.json()["results"]
    return results


async def test_results_and_log_have_the_order_of_the_batch(gateway: httpx.AsyncClient):
    bodies = [
        a_message(sender_id=f"person-{n % 3}", text=f"Line {n} of the story") for n in range(300)
    ]

    results = await batch(gateway, bodies)

    assert len(results) == 300
    positions = [result["position"] for result in results]
    assert positions == sorted(positions)
    person = results[0]["person_id"]
    assert await texts(gateway, person) == [body["text"] for body in bodies[::3]]
    assert all(result["knowledge"]["state"] == "stored" for result in results)


async def test_a_thousand_messages_are_one_batch(gateway: httpx.AsyncClient):
    bodies = [a_message() for _ in range(1000)]

    first = await batch(gateway, bodies)
    second = await batch(gateway, bodies)

    assert [result["duplicate"] for result in first] == [False] * 1000
    assert second == [{**result, "duplicate": True} for result in first]
    assert len(await timeline(gateway, first[0]["person_id"], page_size=1000)) == 1001


async def test_a_malformed_message_keeps_all_others_out(gateway: httpx.AsyncClient):
    person = (await sent(gateway, a_message()))["person_id"]
    bodies = [a_message() for _ in range(20)]
    bodies[17]["platform"] = ""

    answer = await gateway.post("/v1/messages:batch", json=bodies)

    assert answer.status_code == 400
    assert len(await texts(gateway, person)) == 1


async def test_a_message_that_fails_leaves_its_neighbours_alone(gateway: httpx.AsyncClient):
    known = a_message()
    await sent(gateway, known)
    bodies = [
        a_message(),
        {**known, "text": "Another text."},
        a_reply(to_sender_id="x"),
        a_message(),
    ]

    results = await batch(gateway, bodies)

    assert [result.get("error", {}).get("status") for result in results] == [None, 409, 404, None]
    assert results[1]["error"]["reason"] == "IDEMPOTENCY_CONFLICT"
    assert results[2]["error"]["reason"] == "LINK_NOT_FOUND"
    assert results[0]["position"] < results[3]["position"]


async def test_the_same_message_twice_in_a_batch_is_logged_once(gateway: httpx.AsyncClient):
    body = a_message()

    first, second = await batch(gateway, [body, body])

    assert second == {**first, "duplicate": True}


async def test_a_new_sender_is_registered_once_however_often_they_write(gateway: httpx.AsyncClient):
    bodies = [
        a_message(sender_id="grace"),
        a_reply(to_sender_id="grace"),
        a_message(sender_id="grace"),
    ]

    results = await batch(gateway, bodies)

    assert len({result["person_id"] for result in results}) == 1
    events = await timeline(gateway, results[0]["person_id"], order="asc")
    assert [event["event_type"] for event in events] == ["registration", *["message"] * 3]


async def test_a_key_names_every_message_of_the_batch(gateway: httpx.AsyncClient):
    bodies = [a_message(message_id=None), a_message(message_id=None), a_message()]

    first = await batch(gateway, bodies, **{"idempotency-key": "import-1"})
    second = await batch(gateway, bodies, **{"idempotency-key": "import-1"})

    assert [result["event_id"] for result in second] == [result["event_id"] for result in first]
    assert all(result["duplicate"] for result in second)
    assert first[1]["event_id"] == ids.named("local", "/v1/messages:batch", "import-1", "1")
