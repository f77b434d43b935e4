"""GET …/stream: every event once, in order, over a real connection; and ends that are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest

from gateway.app import Gateway
from kith.event.v1 import event_pb2
from kith.identity.v1 import person_pb2
from svckit import errors, ids
from tests.support.blocks import Block, following
from tests.support.messages import eventually, fields, problem
from tests.support.scripted import Scripted
from tests.support.scriptedlog import ScriptedLog

# The same in each run, because it stands in the names of tests.
ADA = ids.named("test", "ada")
TIMELINE = f"/v1/persons/{ADA}/timeline/stream"


class Expired(errors.FailedPrecondition):
    reason = "POSITION_EXPIRED"


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    async with Scripted().running() as scripted:
        yield scripted


@pytest.fixture
def log(scripted: Scripted) -> ScriptedLog:
    return ScriptedLog(scripted.events)


@pytest.fixture
async def listening(scripted: Scripted, log: ScriptedLog) -> AsyncIterator[tuple[str, Gateway]]:
    async with scripted.listening(expand_seconds=0.02) as found:
        yield found


@pytest.fixture
def url(listening: tuple[str, Gateway]) -> str:
    return listening[0]


def ada(*subjects: str) -> person_pb2.Person:
    return person_pb2.Person(person_id=ADA, person_ids=[ADA], subject_ids=[ADA, *subjects])


def told(blocks: list[Block]) -> list[int]:
    """The numbers of the events among some blocks."""
    return [block["data"]["content"]["n"] for block in blocks if block.get("event") == "event"]


async def test_history_comes_first_then_what_is_logged(log: ScriptedLog, url: str):
    for n in range(3):
        await log.append(n=n)

    async with following(url, **{"from": "beginning"}) as blocks:
        history = await blocks.upto("caught_up")
        await log.append(n=3)
        live = await blocks.next()

    assert told(history) == [0, 1, 2]
    assert [block["id"] for block in history] == ["1", "2", "3", "3"]
    assert live is not None and live["event"] == "event" and live["id"] == "4"
    assert live["data"]["event_id"] == log.events[3].event_id
    assert live["data"]["position"] == 4
    assert blocks.response.headers["content-type"] == "text/event-stream"
    assert blocks.response.headers["cache-control"] == "no-cache"
    assert blocks.response.headers["x-accel-buffering"] == "no"
    assert blocks.response.headers["x-request-id"]


@pytest.mark.parametrize("query", [{}, {"from": "now"}])
async def test_now_leaves_history_out(log: ScriptedLog, url: str, query: dict[str, str]):
    await log.append(n=0)

    async with following(url, **query) as blocks:
        first = await blocks.next()
        await log.append(n=1)
        live = await blocks.next()

    assert first == {"id": "1", "event": "caught_up", "data": {}}
    assert live is not None and told([live]) == [1]


async def test_a_stream_goes_on_behind_the_last_id(log: ScriptedLog, url: str):
    for n in range(5):
        await log.append(n=n)

    async with following(url, after=3) as blocks:
        by_query = await blocks.upto("caught_up")
    # A browser that comes back asks in the same words.
    async with following(url, last_id=4, after=1) as blocks:
        by_header = await blocks.upto("caught_up")
    async with following(url, last_id=2, **{"from": "beginning"}) as blocks:
        from_beginning = await blocks.upto("caught_up")

    assert (told(by_query), told(by_header), told(from_beginning)) == ([3, 4], [4], [2, 3, 4])


async def test_cuts_at_any_point_lose_and_repeat_nothing(log: ScriptedLog, url: str):
    found: list[int] = []
    last_id = 0
    for n in range(40):
        await log.append(n=n)
    while len(found) < 40:
        async with following(url, last_id=last_id) as blocks:
            for _ in range(7):
                if len(found) == 40:
                    break
                block = await blocks.next()
                assert block is not None
                found += told([block])
                last_id = int(block["id"])

    assert found == list(range(40))


async def test_heartbeats_have_an_id_and_nothing_else(log: ScriptedLog, url: str):
    async with following(url, event_type="message") as blocks:
        await blocks.upto("caught_up")
        await log.append(event_type="note", n=0)
        await log.beat()

        assert await blocks.next() == {"id": "1"}


async def test_filters_are_passed_on(scripted: Scripted, log: ScriptedLog, url: str):
    group, session = ids.new(), ids.new()

    async with following(
        url, group_id=group, session_id=session, event_type=["a", "b"], platform=["x", "y"]
    ) as blocks:
        await blocks.next()

    chosen = scripted.events.last("SubscribeEvents").filter
    assert chosen == event_pb2.EventFilter(
        group_id=group, session_id=session, event_types=["a", "b"], platforms=["x", "y"]
    )


async def test_a_client_that_goes_ends_the_subscription(log: ScriptedLog, url: str):
    async with following(url) as blocks:
        await blocks.next()
        assert log.open == 1

    async def is_closed() -> bool:
        return log.open == 0

    await eventually(is_closed, seconds=2)


async def test_an_outage_behind_ends_the_stream_and_says_when_to_come_back(
    log: ScriptedLog, url: str
):
    async with following(url) as blocks:
        await blocks.next()
        await log.fail(errors.Unavailable("the store is away"))
        [last] = await blocks.rest()

    assert list(last) == ["retry"] and 1000 <= int(last["retry"]) <= 3000


async def test_an_outage_before_the_first_byte_is_an_answer(scripted: Scripted, url: str):
    scripted.events.answer("SubscribeEvents", errors.Unavailable("the store is away"))

    async with following(url) as blocks:
        assert blocks.response.status_code == 503
        assert problem(blocks.response)["reason"] == "STORE_UNAVAILABLE"


async def test_a_position_that_is_gone_is_410(scripted: Scripted, url: str):
    scripted.events.answer("SubscribeEvents", Expired("dropped", position=1, first_position=17))

    async with following(url, after=1) as blocks:
        assert blocks.response.status_code == 410
        assert problem(blocks.response)["reason"] == "POSITION_EXPIRED"
        assert problem(blocks.response)["first_position"] == "17"


@pytest.mark.parametrize(
    ("headers", "field"), [({}, "after"), ({"Last-Event-ID": "8"}, "Last-Event-ID")]
)
async def test_a_position_beyond_the_log_is_said_of_what_named_it(
    scripted: Scripted, url: str, headers: dict[str, str], field: str
):
    error = errors.InvalidRequest("after_position", "is beyond the log's end")
    scripted.events.answer("SubscribeEvents", error)

    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/v1/events/stream", params={"after": 9}, headers=headers)

    assert (answer.status_code, fields(answer)) == (400, [field])


async def test_what_goes_wrong_in_the_middle_is_the_last_block(log: ScriptedLog, url: str):
    async with following(url) as blocks:
        await blocks.next()
        await log.fail(Expired("dropped", position=1, first_position=17))
        [last] = await blocks.rest()

    assert last["event"] == "error" and "id" not in last
    assert (last["data"]["status"], last["data"]["reason"]) == (410, "POSITION_EXPIRED")
    assert len(last["data"]["trace_id"]) == 32


async def test_a_slow_client_holds_nothing_up_and_fills_no_memory(scripted: Scripted):
    log = ScriptedLog(scripted.events, most=1)
    for n in range(400):
        await log.append(n=n, text="x" * 200_000)

    async with scripted.listening() as (url, _):
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 10)
        writer.write(b"GET /v1/events/stream?from=beginning HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await reader.readuntil(b"id: 1\n")
        sent = -1
        while sent != log.sent:
            sent = log.sent
            # Whoever reads has the others' turn as well.
            async with following(url, after=399) as blocks:
                assert told(await blocks.upto("caught_up")) == [399]
            sent += 1
            await asyncio.sleep(0.1)
        # 80 MB are there; what is on its way is bounded by windows and buffers of the system.
        assert log.sent < 200
        writer.close()


async def test_there_is_a_limit_to_streams(scripted: Scripted, log: ScriptedLog):
    async with scripted.listening(most_followers=2) as (url, _), AsyncExitStack() as stack:
        # Kept, or the connections would be closed with them.
        opened = [await stack.enter_async_context(following(url)) for _ in range(2)]
        for blocks in opened:
            await blocks.next()

        async with following(url) as blocks:
            assert blocks.response.status_code == 429
            assert problem(blocks.response)["reason"] == "OVERLOADED"
        async with httpx.AsyncClient(base_url=url) as client:
            waiting = await client.get("/v1/events", params={"after": 0, "wait": 1})
            plain = await client.get("/v1/events")
        assert (waiting.status_code, plain.status_code) == (429, 200)

        await stack.aclose()

        async def is_free() -> bool:
            async with following(url) as blocks:
                return blocks.response.status_code == 200

        await eventually(is_free)


async def test_streams_outlive_the_deadline_of_requests(scripted: Scripted, log: ScriptedLog):
    async with scripted.listening(request_seconds=0.05) as (url, _), following(url) as blocks:
        await blocks.next()
        await asyncio.sleep(0.2)
        await log.append(n=1)

        block = await blocks.next()
        assert block is not None and told([block]) == [1]


async def test_stopping_ends_streams_at_once(listening: tuple[str, Gateway], log: ScriptedLog):
    url, gateway = listening
    async with following(url) as blocks:
        await blocks.next()
        gateway.stop()
        [last] = await blocks.rest()

    assert list(last) == ["retry"]

    async def is_closed() -> bool:
        return log.open == 0

    await eventually(is_closed)


async def test_somebody_is_followed_through_a_new_link(
    scripted: Scripted, log: ScriptedLog, url: str
):
    scripted.people(ada("first"))
    await log.append("first", n=0)
    await log.append("other", n=1)

    async with following(url, TIMELINE, **{"from": "beginning"}) as blocks:
        history = await blocks.upto("caught_up")
        scripted.people(ada("first", "other"))
        await eventually(lambda: _subscriptions(scripted, 2))
        await log.append("other", n=2)
        await log.append("nobody", n=3)
        await log.append("first", n=4)
        live = [await blocks.next(), await blocks.next()]

    # What there was before stays where it was.
    assert told(history) == [0]
    assert told([block for block in live if block]) == [2, 4]
    assert [block and block["id"] for block in live] == ["3", "5"]


async def test_what_a_new_link_says_before_it_is_noticed_is_told_once_and_takes_nobody_back(
    scripted: Scripted, log: ScriptedLog
):
    scripted.people(ada("first"))
    looks: list[int] = []

    async with (
        scripted.listening(expand_seconds=0.3) as (url, _),
        following(url, TIMELINE) as blocks,
    ):
        await blocks.upto("caught_up")
        await eventually(lambda: _asked(scripted, 2))
        looks.append(len(scripted.identity.asked["BatchGetPersons"]))
        scripted.people(ada("first", "new"))
        await log.append("new", n=0)
        await log.append("first", n=1)
        before = await blocks.next()
        late = await blocks.next()
        await log.append("new", n=2)
        after = await blocks.next()

    shown = [block for block in (before, late, after) if block]
    assert told(shown) == [1, 0, 2]
    # The second is late: who comes back with its id goes on behind the first.
    assert [block["id"] for block in shown] == ["2", "2", "3"]
    assert shown[1]["data"]["position"] == 1


async def test_an_outage_of_identity_does_not_end_a_timeline(
    scripted: Scripted, log: ScriptedLog, url: str
):
    scripted.people(ada("first"))
    async with following(url, TIMELINE) as blocks:
        await blocks.upto("caught_up")
        scripted.identity.answer("BatchGetPersons", errors.Unavailable("away", retry_after=0.01))
        await asyncio.sleep(0.1)
        await log.append("first", n=0)

        block = await blocks.next()
        assert block is not None and told([block]) == [0]


async def test_a_timeline_of_somebody_who_is_erased_ends(
    scripted: Scripted, log: ScriptedLog, url: str
):
    scripted.people(ada("first"))
    async with following(url, TIMELINE) as blocks:
        await blocks.upto("caught_up")
        scripted.people()
        [last] = await blocks.rest()

    assert (last["event"], last["data"]["reason"]) == ("error", "PERSON_NOT_FOUND")


@pytest.mark.parametrize("path", [TIMELINE, f"/v1/events/stream?person_id={ADA}"])
async def test_nobody_is_not_followed(log: ScriptedLog, url: str, path: str):
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.get(path)

    assert answer.status_code == 404
    assert problem(answer)["reason"] == "PERSON_NOT_FOUND"


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ("from=2026-01-01T00:00:00Z", {}, "from"),
        ("from=now&after=5", {}, "after"),
        ("after=-1", {}, "after"),
        ("after=many", {}, "after"),
        ("after=9223372036854775808", {}, "after"),
        ("", {"last-event-id": "x"}, "Last-Event-ID"),
        ("", {"last-event-id": "-1"}, "Last-Event-ID"),
        ("session_id=channel", {}, "platform"),
        ("event_type=a%20b", {}, "event_type[0]"),
        ("to=2026-01-01T00:00:00Z", {}, "to"),
    ],
)
async def test_malformed_streams(url: str, query: str, headers: dict[str, str], field: str):
    async with httpx.AsyncClient(base_url=url) as client:
        for path in ("/v1/events/stream", TIMELINE):
            answer = await client.get(f"{path}?{query}", headers=headers)

            assert fields(answer) == [field]


async def _subscriptions(scripted: Scripted, count: int) -> bool:
    return len(scripted.events.asked["SubscribeEvents"]) >= count


async def _asked(scripted: Scripted, count: int) -> bool:
    return len(scripted.identity.asked["BatchGetPersons"]) >= count
