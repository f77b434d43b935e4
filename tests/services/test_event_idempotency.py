"""A retry never logs twice and always gets the first answer: whenever it comes, by whatever way."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb
from tests.support.cluster import Database, administrator
from tests.support.events import Stub, a_message, event_service, move_clock
from tests.support.refusals import Refusal, refusal_of

Place = event_pb2.LoggedEvent
Way = Callable[[Stub, event_pb2.NewEvent], Awaitable[Place]]


class Refused(Exception):
    """What a way was told in place of an answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


def place_in(answer: Any) -> Place:
    """The place in a result that may be an error."""
    if answer.HasField("error"):
        raise Refused(Refusal.of(answer.error))
    return answer.response.events[0]


async def alone(events: Stub, message: event_pb2.NewEvent) -> Place:
    return (await events.LogEvent(pb.LogEventRequest(event=message))).event


async def among_others(events: Stub, message: event_pb2.NewEvent) -> Place:
    request = pb.LogEventsRequest(events=[a_message(), message])
    return (await events.LogEvents(request)).events[1]


async def in_a_batch(events: Stub, message: event_pb2.NewEvent) -> Place:
    request = pb.BatchLogEventsRequest(requests=[pb.LogEventsRequest(events=[message])])
    return place_in((await events.BatchLogEvents(request)).results[0])


async def in_a_stream(events: Stub, message: event_pb2.NewEvent) -> Place:
    [answer] = [
        answer
        async for answer in events.IngestEvents(
            iter([pb.IngestEventsRequest(sequence=1, events=[message])])
        )
    ]
    return place_in(answer)


WAYS: list[Way] = [alone, among_others, in_a_batch, in_a_stream]


@pytest.fixture
async def events(database):
    async with event_service(database) as stub:
        yield stub


async def by_every_way(events: Stub, message: event_pb2.NewEvent) -> list[Place]:
    return [await way(events, message) for way in WAYS]


async def rows_of(database: Database, event_id: str) -> tuple[int, int]:
    """How many events and how many ids there are of one id."""
    async with administrator(database) as admin:
        return tuple(
            await admin.fetchrow(
                """SELECT (SELECT count(*) FROM event.event_log WHERE event_id = $1),
                          (SELECT count(*) FROM event.event_ids WHERE event_id = $1)""",
                event_id,
            )
        )


def assert_answered_as(first: Place, again: list[Place]) -> None:
    expected = Place(
        event_id=first.event_id, position=first.position, created_at=first.created_at,
        duplicate=True,
    )  # fmt: skip
    assert again == [expected] * len(WAYS)


async def test_a_hundred_racing_retries_by_every_way_over_two_instances_log_one_event(database):
    message = a_message(content={"text": "only once"})

    async with event_service(database) as one, event_service(database) as other:
        ways = itertools.islice(itertools.product(range(13), WAYS, (one, other)), 100)
        places = await asyncio.gather(*(way(stub, message) for _, way, stub in ways))

    assert len({(place.position, place.created_at.ToNanoseconds()) for place in places}) == 1
    assert sorted(place.duplicate for place in places) == [False] + [True] * 99
    assert await rows_of(database, message.event_id) == (1, 1)


async def test_retries_racing_with_midnight_log_one_event(database):
    message = a_message()

    async def midnight() -> None:
        async with administrator(database) as admin:
            await move_clock(admin, "date_trunc('day', now()) + interval '1 day'")

    async with event_service(database) as one, event_service(database) as other:
        await alone(one, a_message())
        racing = [way(stub, message) for _ in range(6) for way in WAYS for stub in (one, other)]
        places, _ = await asyncio.gather(asyncio.gather(*racing), midnight())
        later = await alone(one, a_message())

    assert len({(place.position, place.created_at.ToNanoseconds()) for place in places}) == 1
    assert sum(not place.duplicate for place in places) == 1
    assert await rows_of(database, message.event_id) == (1, 1)
    assert later.created_at.ToDatetime().hour == 0


async def test_a_retry_on_the_next_day_gets_the_first_answer(events, database):
    message = a_message()
    first = await alone(events, message)
    async with administrator(database) as admin:
        await move_clock(admin, "now() + interval '1 day'")

    assert_answered_as(first, await by_every_way(events, message))
    assert await rows_of(database, message.event_id) == (1, 1)


async def test_a_retry_after_a_restart_gets_the_first_answer(database):
    message = a_message()
    async with event_service(database) as events:
        first = await in_a_stream(events, message)

    async with event_service(database) as events:
        assert_answered_as(first, await by_every_way(events, message))
    assert await rows_of(database, message.event_id) == (1, 1)


async def test_a_retry_after_retention_gets_the_first_answer_and_writes_nothing(events, database):
    message = a_message()
    first = await alone(events, message)
    async with administrator(database) as admin:
        name = await admin.fetchval(
            "SELECT name FROM event.partitions WHERE first_position = $1", first.position
        )
        await admin.execute(
            f"DROP TABLE event.{name}; DELETE FROM event.partitions WHERE name = '{name}'"
        )

    assert_answered_as(first, await by_every_way(events, message))
    assert await rows_of(database, message.event_id) == (0, 1)
    # Positions go on where they were, in a partition made anew.
    assert (await alone(events, a_message())).position == first.position + 2


@pytest.mark.parametrize("way", WAYS)
async def test_a_retry_after_erasure_is_a_duplicate_without_a_place(events, database, way):
    message = a_message(content={"text": "gone"}, person_id=(subject := a_message().event_id))
    await alone(events, message)
    async with administrator(database) as admin:
        await admin.execute(
            """UPDATE event.event_log SET content = '{}', metadata = '{}', redacted_at = now();
               UPDATE event.event_ids SET body_hash = NULL, position = NULL"""
        )
        await admin.execute("INSERT INTO event.tombstones VALUES ($1, now())", subject)

    again = await way(events, message)
    other = await way(events, a_message(message.event_id, content={"text": "else"}))

    assert [(p.position, p.duplicate) for p in (again, other)] == [(0, True)] * 2
    assert await rows_of(database, message.event_id) == (1, 1)


@pytest.mark.parametrize("way", WAYS)
async def test_another_body_under_a_known_id_is_a_conflict_by_every_way(events, database, way):
    place = await alone(events, a_message(content={"text": "first"}))
    other = a_message(place.event_id, content={"text": "second"})

    try:
        refusal = await refusal_of(way(events, other))
    except Refused as refused:
        refusal = refused.refusal

    assert (refusal.code.name, refusal.reason) == ("ABORTED", "IDEMPOTENCY_CONFLICT")
    assert refusal.metadata == {"event_id": place.event_id}
    async with administrator(database) as admin:
        assert await admin.fetchval("SELECT count(*) FROM event.event_log") == 1
