"""What a subscriber of the log is given, and what it is told, over a real channel."""

import asyncio
from functools import partial

import grpc
import pytest

from event_svc.__main__ import assemble
from event_svc.adapters.sql_subscriptions import SqlLogHistory
from event_svc.domain.subscriptions import LogBounds
from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb
from svckit import ids
from svckit.calls import Bounds
from tests.support.cluster import administrator
from tests.support.events import Stub, a_message, event_service, follow, log_one
from tests.support.refusals import refusal_of
from tests.support.services import channel_to, running
from tests.support.subscribers import CAUGHT_UP, EVENTS, HEARTBEAT, Stream

ADA, BOB = ids.new(), ids.new()


@pytest.fixture
async def events(database):
    async with event_service(database) as stub:
        yield stub


async def log_many(events: Stub, count: int, **changes) -> list[int]:
    request = pb.LogEventsRequest(events=[a_message(**changes) for _ in range(count)])
    return [event.position for event in (await events.LogEvents(request)).events]


async def test_history_comes_first_then_a_mark_then_what_is_new(events):
    history = await log_many(events, 700)
    async with Stream(events, from_beginning=True) as stream:
        before = await stream.until_caught_up()
        live = [(await log_one(events)).position for _ in range(3)]
        after = await stream.events(3)

    assert before == history
    assert after == live


@pytest.mark.parametrize("request_", [{}, {"from_now": True}, {"after_position": 5}])
async def test_a_subscriber_begins_with_what_is_new_unless_it_says_otherwise(events, request_):
    await log_many(events, 5)

    async with Stream(events, **request_) as stream:
        mark = await stream.next()
        await log_one(events)
        new = await stream.events(1)

    assert (mark.mark, mark.position) == (CAUGHT_UP, 5)
    assert new == [6]


async def test_a_subscriber_goes_on_after_a_position(events):
    await log_many(events, 20)

    async with Stream(events, after_position=13) as stream:
        assert await stream.until_caught_up() == list(range(14, 21))
    async with Stream(events, after_position=0) as stream:
        assert await stream.until_caught_up() == list(range(1, 21))


async def test_answers_say_how_far_the_log_was_looked_at(events):
    await log_many(events, 3, person_id=ADA)
    await log_many(events, 4, person_id=BOB)

    async with Stream(events, filter={"subject_ids": [ADA]}, from_beginning=True) as stream:
        history, mark = await stream.next(), await stream.next()
        await log_many(events, 2, person_id=BOB)
        await log_one(events, person_id=ADA)
        live = await stream.next()

    assert (history.mark, len(history.events), history.position) == (EVENTS, 3, 7)
    assert (mark.mark, mark.position) == (CAUGHT_UP, 7)
    assert (live.mark, len(live.events), live.position) == (EVENTS, 1, 10)


async def test_an_event_is_shown_as_everywhere_else(events):
    whole = {
        "person_id": ADA, "group_id": ids.new(), "session_id": "talk", "consent_version": 7,
        "content": {"text": "grüezi", "n": [1, 2.5, None, {"deep": True}]}, "metadata": {"k": "v"},
        "occurred_at": {"seconds": 1_700_000_000, "nanos": 123_456_000},
    }  # fmt: skip
    await log_one(events, **whole)

    async with Stream(events, from_beginning=True) as stream:
        [history] = (await stream.next()).events
        await stream.next()
        await log_one(events, **whole)
        [live] = (await stream.next()).events
    listed = await events.ListEvents(pb.ListEventsRequest())

    assert [history, live] == list(listed.events)


FILTERS = [
    {},
    {"subject_ids": [ADA]},
    {"subject_ids": [ADA, BOB, ADA]},
    {"group_id": "G"},
    {"session_id": ids.conversation("discord", "talk")},
    {"event_types": ["join", "leave"]},
    {"platforms": ["Slack"]},
    {"occurred_from": {"seconds": 1000}, "occurred_to": {"seconds": 1000, "nanos": 500_000_000}},
    {"occurred_to": {"seconds": 1000, "nanos": 500_000_000}},
    {"subject_ids": [ADA], "platforms": ["slack"]},
    {"group_id": "G", "event_types": ["join"]},
    {"event_types": ["join"], "occurred_from": {"seconds": 1000}},
]


async def test_what_is_new_is_chosen_as_history_is(events):
    group_id = ids.new()
    kinds = [
        {}, {"person_id": ADA}, {"person_id": BOB, "group_id": group_id},
        {"link_id": ids.new(), "person_id": ADA}, {"session_id": "talk"},
        {"event_type": "join", "group_id": group_id}, {"platform": "slack", "person_id": ADA},
        {"occurred_at": {"seconds": 1000}}, {"occurred_at": {"seconds": 999}},
        {"occurred_at": {"seconds": 1000, "nanos": 500_000_000}, "event_type": "join"},
        {"occurred_at": {"seconds": 1000, "nanos": 499_999_000}},
    ]  # fmt: skip
    filters = [
        event_pb2.EventFilter(
            **{**chosen, **({"group_id": group_id} if "group_id" in chosen else {})}
        )
        for chosen in FILTERS
    ]
    streams = [Stream(events, filter=chosen, from_now=True) for chosen in filters]
    for stream in streams:
        await stream.until_caught_up()

    for kind in kinds * 2:
        await log_one(events, **kind)

    for chosen, stream in zip(filters, streams, strict=True):
        listed, _ = await follow(events, filter=chosen)
        assert listed, chosen
        assert await stream.events(len(listed)) == listed, chosen
        stream.call.cancel()


async def test_a_quiet_subscription_tells_how_far_it_has_looked(database):
    quick = partial(assemble, heartbeat=0.2)
    async with running(quick, database, "event") as address, channel_to(address) as channel:
        events = Stub(channel)
        async with Stream(events, filter={"subject_ids": [ADA]}, from_now=True) as stream:
            await stream.until_caught_up()
            first = await stream.next()
            await log_many(events, 9, person_id=BOB)
            async with asyncio.timeout(5):
                while (second := await stream.next()).position < 9:
                    assert second.mark == HEARTBEAT

    assert (first.mark, first.position, len(first.events)) == (HEARTBEAT, 0, 0)
    assert (second.mark, second.position, len(second.events)) == (HEARTBEAT, 9, 0)


async def test_a_position_that_retention_took_is_refused(events, database):
    await log_many(events, 9)
    async with administrator(database) as admin:
        await admin.execute("DELETE FROM event.event_log WHERE position <= 4")
        await admin.execute("UPDATE event.log_head SET expired_position = 4")
        statement = "UPDATE event.partitions SET first_position = 5 WHERE first_position = 1"
        await admin.execute(statement)

    refusals = [
        await refusal_of(Stream(events, after_position=position).next()) for position in (0, 3)
    ]
    async with Stream(events, after_position=4) as stream:
        kept = await stream.until_caught_up()
    async with Stream(events, from_beginning=True) as stream:
        all_there_is = await stream.until_caught_up()

    assert {(refusal.code, refusal.reason) for refusal in refusals} == {
        (grpc.StatusCode.FAILED_PRECONDITION, "POSITION_EXPIRED")
    }
    assert refusals[1].metadata == {"position": "3", "first_position": "4"}
    assert kept == all_there_is == [5, 6, 7, 8, 9]


async def test_who_begins_at_the_beginning_begins_with_what_is_left_by_then(
    events, database, monkeypatch
):
    await log_many(events, 9)

    async def before_retention(_: SqlLogHistory) -> LogBounds:
        return LogBounds(head_position=9, expired_position=0)

    monkeypatch.setattr(SqlLogHistory, "bounds", before_retention)
    async with administrator(database) as admin:
        await admin.execute("DELETE FROM event.event_log WHERE position <= 4")
        await admin.execute("UPDATE event.log_head SET expired_position = 4")
        statement = "UPDATE event.partitions SET first_position = 5 WHERE first_position = 1"
        await admin.execute(statement)

    async with Stream(events, from_beginning=True) as stream:
        kept = await stream.until_caught_up()
    refusal = await refusal_of(Stream(events, after_position=0).next())

    assert kept == [5, 6, 7, 8, 9]
    assert refusal.reason == "POSITION_EXPIRED"


@pytest.mark.parametrize("subjects", [[], [ADA]])
async def test_a_list_that_is_followed_is_told_as_a_subscription_is(events, database, subjects):
    await log_many(events, 8, person_id=ADA)
    request = pb.RedactEventsRequest(event_ids=[(await log_one(events, person_id=ADA)).event_id])
    request.reason = "why"
    await events.RedactEvents(request)
    async with administrator(database) as admin:
        await admin.execute("DELETE FROM event.event_log WHERE position <= 4")
        await admin.execute("UPDATE event.log_head SET expired_position = 4")
        statement = "UPDATE event.partitions SET first_position = 5 WHERE first_position = 1"
        await admin.execute(statement)

    async def page(after: int, **more) -> pb.ListEventsResponse:
        chosen = event_pb2.EventFilter(subject_ids=subjects)
        return await events.ListEvents(
            pb.ListEventsRequest(filter=chosen, after_position=after, follow=True, **more)
        )

    expired = await refusal_of(page(3))
    beyond = [await refusal_of(page(after)) for after in (11, 2**63 - 1)]
    first = await page(4, page_size=2)
    second = await page(4, page_size=2, page_token=first.next_page_token)

    assert (expired.reason, expired.metadata["first_position"]) == ("POSITION_EXPIRED", "4")
    assert [refusal.fields for refusal in beyond] == [["after_position"]] * 2
    assert [event.position for event in (*first.events, *second.events)] == [5, 6, 7, 8]
    # With the notice.
    for after in (0, 4):
        all_there_is = await page(after)
        assert [event.position for event in all_there_is.events] == [5, 6, 7, 8, 9, 10]
        assert (all_there_is.scanned_position, all_there_is.next_page_token) == (10, "")
    assert not (await page(10)).events


async def test_only_what_is_read_forwards_can_be_followed(events):
    request = pb.ListEventsRequest(follow=True, order=pb.ORDER_DESCENDING)

    refusal = await refusal_of(events.ListEvents(request))

    assert refusal.fields == ["follow"]


async def test_a_position_beyond_the_log_is_refused(events):
    await log_many(events, 3)

    refusal = await refusal_of(Stream(events, after_position=4).next())

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert refusal.fields == ["after_position"]


async def test_a_backup_restored_under_a_subscription_ends_it(events, database):
    await log_many(events, 3)
    async with Stream(events, from_beginning=True) as stream:
        await stream.until_caught_up()
        async with administrator(database) as admin:
            await admin.execute("DELETE FROM event.event_log WHERE position > 1")
            await admin.execute("UPDATE event.log_head SET position = 1")
        ended = await refusal_of(stream.next())
    resumed = await refusal_of(Stream(events, after_position=3).next())

    assert ended.code is grpc.StatusCode.UNAVAILABLE
    assert resumed.fields == ["after_position"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"after_position": -1}, "after_position"),
        ({"from_now": False}, "from_now"),
        ({"from_beginning": False}, "from_beginning"),
        ({"filter": {"subject_ids": [ADA, "ada"]}}, "filter.subject_ids[1]"),
        ({"filter": {"subject_ids": [ADA] * 1001}}, "filter.subject_ids"),
        ({"filter": {"group_id": "g"}}, "filter.group_id"),
        ({"filter": {"event_types": ["Message"]}}, "filter.event_types[0]"),
        ({"filter": {"occurred_to": {"seconds": -1}}}, "filter.occurred_to"),
    ],
)
async def test_a_malformed_request_is_refused_by_field(events, request_, field):
    refusal = await refusal_of(Stream(events, **request_).next())

    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


async def test_streams_have_a_bound_of_their_own(database):
    bounds = Bounds(unary=2, stream=3)
    async with (
        running(assemble, database, "event", bounds=bounds) as address,
        channel_to(address) as channel,
    ):
        events = Stub(channel)
        streams = [Stream(events) for _ in range(3)]
        for stream in streams:
            await stream.until_caught_up()
        refusal = await refusal_of(Stream(events).next())
        logged = await log_one(events)
        streams[0].call.cancel()

        async def seated() -> None:
            await Stream(events).until_caught_up()

        async with asyncio.timeout(5):
            while True:
                try:
                    await seated()
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.01)

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert logged.position == 1
