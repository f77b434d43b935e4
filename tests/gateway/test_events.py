"""/v1/events before the real services: logging, repeating, reading."""

import httpx
import pytest

from svckit import ids
from tests.support.messages import fields, problem, timeline

EVENT = {"event_type": "mood_check", "platform": "web"}


@pytest.fixture
async def person(gateway: httpx.AsyncClient) -> str:
    answer = await gateway.post("/v1/register", json={"platform": "web", "platform_id": "ada"})
    return str(answer.json()["person_id"])


async def test_an_event_is_in_the_log_and_in_the_timeline(gateway: httpx.AsyncClient, person: str):
    body = {**EVENT, "platform_id": "ada", "content": {"score": 7}, "session_id": "talk"}

    logged = await gateway.post("/v1/events", json=body)
    read = await gateway.get(f"/v1/events/{logged.json()['event_id']}")
    by_platform = await gateway.get("/v1/events", params={"event_type": "mood_check"})
    by_session = await gateway.get("/v1/events", params={"session_id": "talk", "platform": "web"})
    by_person = await gateway.get("/v1/events", params={"person_id": person})

    assert logged.status_code == 201
    event = read.json()
    assert event["content"] == {"score": 7}
    assert (event["person_id"], event["session_key"]) == (person, "talk")
    assert event["position"] == logged.json()["position"]
    assert by_platform.json()["events"] == by_session.json()["events"] == [event]
    assert [each["event_type"] for each in by_person.json()["events"]] == [
        "mood_check", "registration"
    ]  # fmt: skip
    assert event in await timeline(gateway, person)


async def test_a_key_with_another_batch_is_a_conflict(gateway: httpx.AsyncClient):
    one, two, three = ({**EVENT, "content": {"n": n}} for n in range(3))

    answers = [
        await gateway.post("/v1/events:batch", json=body, headers={"Idempotency-Key": "k"})
        for body in ([one, two], [one, two], [one, two, three], [one], [one, three])
    ]
    found = await gateway.get("/v1/events")

    assert [answer.status_code for answer in answers] == [201, 200, 409, 409, 409]
    assert {problem(answer)["reason"] for answer in answers[2:]} == {"IDEMPOTENCY_CONFLICT"}
    assert [event["content"]["n"] for event in found.json()["events"]] == [1, 0]


async def test_an_event_of_a_person_without_a_link_is_theirs(
    gateway: httpx.AsyncClient, person: str
):
    await gateway.post("/v1/events", json={**EVENT, "person_id": person})

    events = await timeline(gateway, person, event_type="mood_check")

    assert [(event["person_id"], event["link_id"]) for event in events] == [(person, None)]


async def test_a_repeat_is_the_same_and_another_body_is_a_conflict(gateway: httpx.AsyncClient):
    body = {**EVENT, "event_id": ids.new(), "content": {"n": 1}}

    first = await gateway.post("/v1/events", json=body)
    second = await gateway.post("/v1/events", json=body)
    other = await gateway.post("/v1/events", json={**body, "content": {"n": 2}})

    assert (first.status_code, second.status_code, other.status_code) == (201, 200, 409)
    assert second.json() == {**first.json(), "duplicate": True}
    assert problem(other)["reason"] == "IDEMPOTENCY_CONFLICT"
    assert problem(other)["event_id"] == body["event_id"]


async def test_a_repeat_is_answered_though_the_id_is_nobodys_any_more(
    gateway: httpx.AsyncClient, person: str
):
    body = {**EVENT, "platform_id": "ada", "event_id": ids.new()}
    batch = [{**EVENT, "platform_id": "ada", "event_id": ids.new()} for _ in range(2)]
    first = await gateway.post("/v1/events", json=body)
    firsts = await gateway.post("/v1/events:batch", json=batch)
    [link] = (await gateway.get(f"/v1/persons/{person}/links")).json()["links"]
    await gateway.delete(f"/v1/persons/{person}/links/{link['link_id']}")

    again = await gateway.post("/v1/events", json=body)
    agains = await gateway.post("/v1/events:batch", json=batch)
    changed = await gateway.post("/v1/events", json={**body, "content": {"n": 2}})
    new = await gateway.post("/v1/events", json={**body, "event_id": ids.new()})
    mixed = await gateway.post("/v1/events:batch", json=[*batch, {**body, "event_id": ids.new()}])

    assert (first.status_code, firsts.status_code) == (201, 201)
    assert (again.status_code, again.json()) == (200, {**first.json(), "duplicate": True})
    assert agains.status_code == 200
    assert [event["position"] for event in agains.json()["events"]] == [
        event["position"] for event in firsts.json()["events"]
    ]
    assert problem(changed)["reason"] == "IDEMPOTENCY_CONFLICT"
    assert problem(new)["reason"] == problem(mixed)["reason"] == "LINK_NOT_FOUND"


async def test_a_batch_is_logged_in_order_or_not_at_all(gateway: httpx.AsyncClient):
    bodies = [{**EVENT, "content": {"n": n}, "event_id": ids.new()} for n in range(5)]
    conflict = [{**EVENT, "content": {"n": 9}}, {**bodies[3], "content": {"n": 8}}]

    first = await gateway.post("/v1/events:batch", json=bodies)
    repeat = await gateway.post("/v1/events:batch", json=bodies)
    some = await gateway.post("/v1/events:batch", json=[*bodies, EVENT])
    refused = await gateway.post("/v1/events:batch", json=conflict)
    listed = await gateway.get("/v1/events", params={"order": "asc"})

    assert [answer.status_code for answer in (first, repeat, some, refused)] == [201, 200, 201, 409]
    positions = [event["position"] for event in first.json()["events"]]
    assert positions == sorted(set(positions))
    assert [event["duplicate"] for event in some.json()["events"]] == [True] * 5 + [False]
    assert [event["content"] for event in listed.json()["events"]] == [
        *({"n": n} for n in range(5)), {}
    ]  # fmt: skip


async def test_what_the_log_refuses_is_named_by_its_place(gateway: httpx.AsyncClient):
    twice = {**EVENT, "event_id": ids.new()}

    answer = await gateway.post("/v1/events:batch", json=[EVENT, twice, twice])

    assert fields(answer) == ["[2].event_id"]


async def test_the_log_is_followed_by_position(gateway: httpx.AsyncClient):
    for n in range(5):
        await gateway.post("/v1/events", json={**EVENT, "content": {"n": n}})
    found: list[int] = []
    position = 0
    for _ in range(4):
        query = {"after": position, "page_size": 2}
        answer = (await gateway.get("/v1/events", params=query)).json()
        found += [event["content"]["n"] for event in answer["events"]]
        position = answer["position"]

    assert found == [0, 1, 2, 3, 4]


async def test_an_event_that_is_not_there(gateway: httpx.AsyncClient):
    answer = await gateway.get(f"/v1/events/{ids.new()}")

    assert (answer.status_code, problem(answer)["reason"]) == (404, "EVENT_NOT_FOUND")
