"""Bodies of requests to the gateway, and what tests ask of its answers."""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import orjson

Body = dict[str, Any]

_numbers = itertools.count(1)


def a_message(**changes: Any) -> Body:
    """A message that is worth knowing, with an id of its own; None leaves a field out."""
    number = next(_numbers)
    body = {
        "platform": "discord",
        "sender_id": "ada",
        "text": f"The spare key number {number} lies under the blue flower pot.",
        "message_id": f"m{number}",
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def a_reply(**changes: Any) -> Body:
    """What a bot says to Ada."""
    return a_message(**{"sender_id": "bot", "role": "assistant", "to_sender_id": "ada"} | changes)


async def sent(client: httpx.AsyncClient, body: Body, status: int = 201) -> Any:
    """The answer to a message, which has this status."""
    answer = await client.post("/v1/messages", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def timeline(client: httpx.AsyncClient, person_id: str, **query: Any) -> list[Body]:
    """Every event of a person, page by page."""
    events: list[Body] = []
    token = None
    while True:
        page = {"page_token": token} if token else {}
        answer = await client.get(f"/v1/persons/{person_id}/timeline", params={**query, **page})
        assert answer.status_code == 200, answer.text
        events += answer.json()["events"]
        token = answer.json()["next_page_token"]
        if not token:
            return events


async def texts(client: httpx.AsyncClient, person_id: str) -> list[str]:
    """What a person's messages say, oldest first."""
    events = await timeline(client, person_id, order="asc", event_type="message")
    return [event["content"]["text"] for event in events]


def problem(answer: httpx.Response) -> Body:
    """The problem of a refusal, after the checks that hold for each."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body: Body = answer.json()
    assert body["status"] == answer.status_code
    assert body["title"] and body["detail"] and len(body["trace_id"]) == 32
    if answer.status_code in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1
    return body


def fields(answer: httpx.Response) -> list[str]:
    """The fields that a 400 names."""
    body = problem(answer)
    assert (body["status"], body["reason"]) == (400, "INVALID_ARGUMENT"), body
    return [error["field"] for error in body["errors"]]


def lines(*values: Any) -> bytes:
    """Values as NDJSON; bytes stand as they are."""
    return b"".join(
        (value if isinstance(value, bytes) else orjson.dumps(value)) + b"\n" for value in values
    )


async def eventually(check: Callable[[], Awaitable[Any]], seconds: float = 10.0) -> Any:
    """What `check` answers as soon as that is true; fails after a time."""
    with anyio.fail_after(seconds):
        while not (found := await check()):
            await anyio.sleep(0.02)
        return found
