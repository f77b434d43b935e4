"""`wait` on lists of events: the long poll of clients without server-sent events."""

import asyncio
import time
from collections.abc import AsyncIterator

import anyio
import httpx
import pytest

from kith.identity.v1 import person_pb2
from svckit import errors, ids
from tests.support.messages import eventually, fields, problem
from tests.support.scripted import Scripted
from tests.support.scriptedlog import ScriptedLog

ADA = ids.named("test", "ada")
PATHS = ["/v1/events", f"/v1/persons/{ADA}/timeline"]


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    async with Scripted().running() as scripted:
        scripted.people(
            person_pb2.Person(person_id=ADA, person_ids=[ADA], subject_ids=[ADA, "ada"])
        )
        yield scripted


@pytest.fixture
def log(scripted: Scripted) -> ScriptedLog:
    return ScriptedLog(scripted.events)


@pytest.fixture
async def gateway(scripted: Scripted, log: ScriptedLog) -> AsyncIterator[httpx.AsyncClient]:
    async with scripted.gateway(request_seconds=0.3) as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
async def test_what_is_there_is_answered_at_once(
    log: ScriptedLog, gateway: httpx.AsyncClient, path: str
):
    for n in range(3):
        await log.append("ada", n=n)

    answer = (await gateway.get(path, params={"after": 1, "wait": 30})).json()

    assert [event["content"]["n"] for event in answer["events"]] == [1, 2]
    assert answer["position"] == 3


@pytest.mark.parametrize("path", PATHS)
async def test_what_is_not_there_yet_is_waited_for(
    log: ScriptedLog, gateway: httpx.AsyncClient, path: str
):
    await log.append("ada", n=0)
    asking = asyncio.create_task(gateway.get(path, params={"after": 1, "wait": 30}))
    await eventually(lambda: _is_open(log))
    # Longer than other requests may take.
    await asyncio.sleep(0.4)
    await log.append("ada", n=1)

    answer = (await asking).json()

    assert [event["content"]["n"] for event in answer["events"]] == [1]
    assert (answer["position"], answer["next_page_token"]) == (2, None)
    await eventually(lambda: _is_closed(log))


async def test_a_wait_that_is_over_says_where_to_go_on(
    log: ScriptedLog, gateway: httpx.AsyncClient
):
    await log.append("somebody", n=0)
    started = time.monotonic()

    query = {"after": 0, "wait": 1, "event_type": "message"}
    answer = await gateway.get("/v1/events", params=query)

    assert answer.json() == {"events": [], "next_page_token": None, "position": 1}
    assert 0.9 < time.monotonic() - started < 3


async def test_polling_on_and_on_loses_and_repeats_nothing(
    log: ScriptedLog, gateway: httpx.AsyncClient
):
    async def write() -> None:
        for n in range(60):
            await log.append("ada" if n % 3 else "somebody", n=n)
            if n % 7 == 0:
                await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    found: list[int] = []
    position = 0
    with anyio.fail_after(10):
        while len(found) < 40:
            query = {"after": position, "wait": 1, "page_size": 3}
            answer = (await gateway.get(PATHS[1], params=query)).json()
            found += [event["content"]["n"] for event in answer["events"]]
            position = answer["position"]
    await writing

    assert found == [n for n in range(60) if n % 3]


@pytest.mark.parametrize("wait", [0, 1])
async def test_a_position_beyond_the_log_is_said_of_what_named_it(
    scripted: Scripted, gateway: httpx.AsyncClient, wait: int
):
    error = errors.InvalidRequest("after_position", "is beyond the log's end")
    scripted.events.answer("ListEvents", error)

    answer = await gateway.get("/v1/events", params={"after": 9, "wait": wait})

    assert (answer.status_code, fields(answer)) == (400, ["after"])


async def test_stopping_answers_whoever_waits(scripted: Scripted, log: ScriptedLog):
    async with (
        scripted.listening() as (url, gateway),
        httpx.AsyncClient(base_url=url) as client,
    ):
        asking = asyncio.create_task(client.get("/v1/events", params={"after": 0, "wait": 30}))
        await eventually(lambda: _is_open(log))
        gateway.stop()

        assert (await asking).json() == {"events": [], "next_page_token": None, "position": 0}


async def test_a_client_that_goes_is_not_waited_for(scripted: Scripted, log: ScriptedLog):
    async with scripted.listening() as (url, _):
        async with httpx.AsyncClient(base_url=url) as client:
            asking = asyncio.create_task(client.get("/v1/events", params={"after": 0, "wait": 30}))
            await eventually(lambda: _is_open(log))
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

        await eventually(lambda: _is_closed(log), seconds=2)


async def test_an_outage_while_waiting_is_503(log: ScriptedLog, gateway: httpx.AsyncClient):
    asking = asyncio.create_task(gateway.get("/v1/events", params={"after": 0, "wait": 30}))
    await eventually(lambda: _is_open(log))
    await asyncio.sleep(0.05)
    await log.fail(errors.Unavailable("the store is away"))

    answer = await asking
    assert answer.status_code == 503 or answer.json()["events"] == []
    if answer.status_code == 503:
        assert problem(answer)["reason"] == "STORE_UNAVAILABLE"


async def _is_open(log: ScriptedLog) -> bool:
    return log.open == 1


async def _is_closed(log: ScriptedLog) -> bool:
    return log.open == 0
