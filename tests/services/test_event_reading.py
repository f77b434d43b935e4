"""What readers of the log can rely on, over a real channel, while others write."""

import asyncio

import grpc
import orjson
import pytest

from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb
from svckit import ids
from tests.support.cluster import administrator
from tests.support.events import a_message, an_event, be_impatient, event_service, follow, log_one
from tests.support.refusals import refusal_of

ADA, BOB = ids.new(), ids.new()


@pytest.fixture
async def events(database):
    async with event_service(database) as stub:
        yield stub


async def log_many(events, count: int, **changes):
    request = pb.LogEventsRequest(events=[a_message(**changes) for _ in range(count)])
    return [event.position for event in (await events.LogEvents(request)).events]


def positions(page: pb.ListEventsResponse) -> list[int]:
    return [event.position for event in page.events]


async def test_pages_lead_through_everything_in_either_order(events):
    adas = await log_many(events, 7, person_id=ADA)
    await log_many(events, 7, person_id=BOB)
    adas += await log_many(events, 6, person_id=ADA)

    chosen = event_pb2.EventFilter(subject_ids=[ADA])
    oldest_first = await follow(events, filter=chosen, page_size=5)
    newest_first = await follow(events, filter=chosen, page_size=5, order=pb.ORDER_DESCENDING)
    at_once = await events.ListEvents(pb.ListEventsRequest(filter=chosen))

    assert oldest_first == (adas, 20)
    assert newest_first[0] == adas[::-1]
    assert positions(at_once) == adas
    assert at_once.next_page_token == ""


async def test_a_page_has_fifty_events_unless_asked_and_never_more_than_a_thousand(events):
    await log_many(events, 1000)
    await log_many(events, 10)

    sizes = [
        len((await events.ListEvents(pb.ListEventsRequest(page_size=size))).events)
        for size in (0, 1, 51, 1000, 5000)
    ]

    assert sizes == [50, 1, 51, 1000, 1000]


async def test_every_field_of_a_filter_has_to_hold(events):
    group_id = ids.new()
    await log_many(events, 2, person_id=ADA, group_id=group_id)
    await log_many(events, 2, person_id=ADA, session_id="talk")
    await log_many(events, 2, person_id=BOB, group_id=group_id, event_type="join")
    await log_many(events, 2, person_id=BOB, platform="slack", occurred_at={"seconds": 1000})

    found = {}
    for name, chosen in {
        "group": {"group_id": group_id.upper()},
        "group and person": {"group_id": group_id, "subject_ids": [BOB]},
        "session": {"session_id": ids.conversation("discord", "talk")},
        "type": {"event_types": ["join", "leave"]},
        "platform": {"platforms": ["Slack"]},
        "time": {"occurred_from": {"seconds": 1000}, "occurred_to": {"seconds": 1001}},
        "an earlier time": {"occurred_to": {"seconds": 1000}},
    }.items():
        found[name] = (await follow(events, filter=event_pb2.EventFilter(**chosen)))[0]

    assert found == {
        "group": [1, 2, 5, 6],
        "group and person": [5, 6],
        "session": [3, 4],
        "type": [5, 6],
        "platform": [7, 8],
        "time": [7, 8],
        "an earlier time": [],
    }


async def test_a_page_token_belongs_to_its_query(events):
    await log_many(events, 6, person_id=ADA)
    query = {"filter": event_pb2.EventFilter(subject_ids=[ADA, BOB]), "page_size": 2}
    token = (await events.ListEvents(pb.ListEventsRequest(**query))).next_page_token
    others = [
        {"filter": event_pb2.EventFilter(subject_ids=[ADA])},
        {"filter": event_pb2.EventFilter(subject_ids=[ADA, BOB], event_types=["message"])},
        {"order": pb.ORDER_DESCENDING},
        {"after_position": 1},
        {"page_scope": "ada"},
        {"page_token": token[:-4]},
        {"page_token": "AAAA"},
    ]

    refusals = [
        await refusal_of(
            events.ListEvents(pb.ListEventsRequest(**{**query, "page_token": token, **other}))
        )
        for other in others
    ]
    goes_on = await events.ListEvents(
        pb.ListEventsRequest(
            filter=event_pb2.EventFilter(subject_ids=[BOB, ADA, ADA]),
            page_size=3,
            page_token=token,
        )
    )

    assert [refusal.fields for refusal in refusals] == [["page_token"]] * len(others)
    assert {refusal.code for refusal in refusals} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert positions(goes_on) == [3, 4, 5]


async def test_a_scope_lets_the_subjects_change_between_pages(events):
    for person in (ADA, BOB, ADA, BOB):
        await log_many(events, 1, person_id=person)

    first = await events.ListEvents(
        pb.ListEventsRequest(
            filter=event_pb2.EventFilter(subject_ids=[ADA]), page_scope="ada", page_size=1
        )
    )
    after_a_merge = pb.ListEventsRequest(
        filter=event_pb2.EventFilter(subject_ids=[ADA, BOB]),
        page_scope="ada",
        page_token=first.next_page_token,
    )
    second = await events.ListEvents(after_a_merge)
    after_a_merge.page_scope = "bob"
    refusal = await refusal_of(events.ListEvents(after_a_merge))

    assert (positions(first), positions(second)) == ([1], [2, 3, 4])
    assert refusal.fields == ["page_token"]


async def test_pages_stay_as_they_are_while_writers_go_on(events):
    adas = await log_many(events, 40, person_id=ADA)
    seen: list[int] = []
    token = ""

    while True:
        page, _ = await asyncio.gather(
            events.ListEvents(
                pb.ListEventsRequest(
                    filter=event_pb2.EventFilter(subject_ids=[ADA]),
                    order=pb.ORDER_DESCENDING,
                    page_size=7,
                    page_token=token,
                )
            ),
            log_many(events, 3, person_id=ADA),
        )
        seen += positions(page)
        token = page.next_page_token
        if not token:
            break

    assert seen == sorted(seen, reverse=True)
    assert seen[-40:] == adas[::-1]


async def test_a_reader_that_follows_sees_exactly_the_log_whatever_writers_do(events, database):
    writers, rounds = 12, 10
    seen: list[int] = []
    done = asyncio.Event()

    async def read() -> None:
        after = 0
        while not (done.is_set() and after == last):
            found, after = await follow(events, after=after, page_size=17)
            seen.extend(found)

    async def write(stub, number: int) -> list[int]:
        mine: list[int] = []
        for turn in range(rounds):
            mine += await log_many(stub, 1 + (number + turn) % 3)
        return mine

    last = -1
    async with event_service(database) as other:
        reader = asyncio.create_task(read())
        written = await asyncio.gather(
            *(write((events, other)[number % 2], number) for number in range(writers))
        )
        last = max(max(mine) for mine in written)
        done.set()
        await reader

    assert seen == sorted(position for mine in written for position in mine)
    for mine in written:
        assert mine == sorted(mine)


async def test_an_append_that_takes_long_to_commit_is_never_passed_over(events, database):
    async with administrator(database) as slow, administrator(database) as admin:
        await be_impatient(admin)
        await log_many(events, 3)
        transaction = slow.transaction()
        await transaction.start()
        rows = [
            {**event.body, "event_id": event.event_id, "body_hash": event.body_hash}
            for event in (an_event(), an_event())
        ]
        await slow.execute("SELECT event.append_events($1)", orjson.dumps([rows]).decode())

        refusal = await refusal_of(log_one(events))
        before, scanned = await follow(events)
        await transaction.commit()
        later = await log_one(events)
        after, _ = await follow(events, after=scanned)

    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert refusal.reason == "STORE_UNAVAILABLE"
    assert refusal.retry_after == 1.0
    assert (before, scanned) == ([1, 2, 3], 3)
    assert after == [4, 5, later.position]


async def test_a_cursor_remembers_how_far_a_consumer_came(events):
    unknown = await refusal_of(events.GetCursor(pb.GetCursorRequest(name="catch-up:1")))
    await log_many(events, 5)

    saved = [
        (await events.SaveCursor(pb.SaveCursorRequest(name="catch-up:1", position=n))).position
        for n in (0, 4, 2)
    ]
    refusal = await refusal_of(
        events.SaveCursor(pb.SaveCursorRequest(name="catch-up:1", position=6))
    )

    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "CURSOR_NOT_FOUND")
    assert unknown.metadata == {"name": "catch-up:1"}
    assert saved == [0, 4, 4]
    assert (refusal.reason, refusal.fields) == ("INVALID_ARGUMENT", ["position"])
    assert (await events.GetCursor(pb.GetCursorRequest(name="catch-up:1"))).position == 4


@pytest.mark.parametrize("order", [pb.ORDER_ASCENDING, pb.ORDER_DESCENDING])
async def test_what_is_small_as_text_and_large_as_a_message_comes_in_pages_for_any_client(
    events, order
):
    # In a message a digit takes eleven bytes.
    content = {"text": "tea", "digits": [1] * 100_000}
    large = [(await log_one(events, person_id=ADA, content=content)).position for _ in range(5)]
    chosen = event_pb2.EventFilter(subject_ids=[ADA])

    listed, _ = await follow(events, filter=chosen, order=order)
    searched: list[int] = []
    token = ""
    while token or not searched:
        page = await events.SearchEvents(
            pb.SearchEventsRequest(filter=chosen, query="tea", page_token=token)
        )
        assert page.ByteSize() < 4 << 20
        searched += [event.position for event in page.events]
        token = page.next_page_token

    assert listed == (large if order == pb.ORDER_ASCENDING else large[::-1])
    assert searched == large[::-1]
