"""GET /v1/persons/{id}/timeline: every way to choose and to page."""

from typing import Any

import httpx
import pytest

from svckit import ids
from tests.support.messages import Body, a_message, fields, timeline


@pytest.fixture
async def person(gateway: httpx.AsyncClient) -> str:
    """Ada, with a registration and six messages."""
    bodies: list[Body] = [
        a_message(text="one", timestamp="2026-01-01T00:00:00Z", session_id="a"),
        a_message(text="two", timestamp="2026-01-02T00:00:00Z", session_id="a"),
        a_message(text="three", timestamp="2026-01-03T00:00:00+02:00", session_id="b"),
        a_message(text="four", timestamp="2026-01-04T00:00:00Z"),
        a_message(text="five", timestamp="2026-01-05T00:00:00Z", session_id=SESSION),
        a_message(text="six", timestamp="2026-01-06T00:00:00Z", session_id="a"),
    ]
    answer = await gateway.post("/v1/messages:batch", json=bodies)
    return str(answer.json()["results"][0]["person_id"])


SESSION = ids.new()


def said(events: list[Body]) -> list[str]:
    return [event["content"].get("text", event["event_type"]) for event in events]


async def test_newest_comes_first_unless_asked_otherwise(gateway: httpx.AsyncClient, person: str):
    newest_first = await timeline(gateway, person)
    oldest_first = await timeline(gateway, person, order="asc")

    assert said(newest_first) == ["six", "five", "four", "three", "two", "one", "registration"]
    assert oldest_first == newest_first[::-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000, 5000])
async def test_pages_leave_nothing_out_and_repeat_nothing(
    gateway: httpx.AsyncClient, person: str, order: str, size: int
):
    whole = await timeline(gateway, person, order=order)

    paged = await timeline(gateway, person, order=order, page_size=size)

    assert paged == whole


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"event_type": "registration"}, ["registration"]),
        ({"event_type": ["registration", "message"], "to": "2026-01-02T00:00:00Z"}, ["one"]),
        ({"event_type": "nothing"}, []),
        ({"platform": "telegram"}, []),
        ({"platform": ["telegram", "Discord"], "event_type": "registration"}, ["registration"]),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-04T00:00:00Z"}, ["three", "two"]),
        ({"to": "2026-01-02T22:00:00.000001Z", "event_type": "message"}, ["three", "two", "one"]),
        ({"session_id": "a", "platform": "discord"}, ["six", "two", "one"]),
        ({"session_id": SESSION}, ["five"]),
        ({"session_id": SESSION.upper()}, ["five"]),
    ],
)
async def test_a_timeline_can_be_narrowed(
    gateway: httpx.AsyncClient, person: str, query: dict[str, Any], expected: list[str]
):
    assert said(await timeline(gateway, person, **query, page_size=2)) == expected


async def test_an_offset_may_arrive_unescaped(gateway: httpx.AsyncClient, person: str):
    answer = await gateway.get(
        f"/v1/persons/{person}/timeline?from=2026-01-06T02:00:00+02:00&event_type=message"
    )

    assert said(answer.json()["events"]) == ["six"]


async def test_a_page_token_belongs_to_its_person_and_query(
    gateway: httpx.AsyncClient, person: str
):
    page = await gateway.get(f"/v1/persons/{person}/timeline", params={"page_size": 2})
    token = page.json()["next_page_token"]
    other = (await gateway.post("/v1/register", json={"platform": "x", "platform_id": "o"})).json()

    for path, query in [
        (f"/v1/persons/{other['person_id']}/timeline", {"page_token": token}),
        (f"/v1/persons/{person}/timeline", {"page_token": token, "order": "asc"}),
        (f"/v1/persons/{person}/timeline", {"page_token": token, "event_type": "message"}),
        (f"/v1/persons/{person}/timeline", {"page_token": "nonsense"}),
    ]:
        assert fields(await gateway.get(path, params=query)) == ["page_token"]


async def test_paging_survives_a_new_link(gateway: httpx.AsyncClient, person: str):
    first = (await gateway.get(f"/v1/persons/{person}/timeline", params={"page_size": 3})).json()

    link = {"platform": "telegram", "platform_id": "ada"}
    await gateway.post(f"/v1/persons/{person}/links", json=link)
    query = {"page_size": 10, "page_token": first["next_page_token"]}
    second = (await gateway.get(f"/v1/persons/{person}/timeline", params=query)).json()

    assert said(first["events"] + second["events"]) == [
        "six", "five", "four", "three", "two", "one", "registration"
    ]  # fmt: skip


async def test_a_page_of_large_events_arrives_all_the_same(gateway: httpx.AsyncClient):
    metadata = {"note": "x" * 16_000}
    bodies = [a_message(text="y" * (32 << 10), metadata=metadata) for _ in range(300)]
    answer = await gateway.post("/v1/messages:batch", json=bodies)
    person = answer.json()["results"][0]["person_id"]

    page = await gateway.get(
        f"/v1/persons/{person}/timeline", params={"page_size": 1000, "event_type": "message"}
    )
    events = await timeline(gateway, person, page_size=1000, event_type="message")

    assert page.status_code == 200
    assert len(events) == 300
