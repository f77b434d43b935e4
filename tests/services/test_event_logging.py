"""What becomes of events that are logged, over a real channel."""

import asyncio
import hashlib
from uuid import UUID

import grpc
import pytest

from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb
from svckit import ids, structs
from tests.support.cluster import administrator
from tests.support.events import Stub, a_message, event_service, log_one
from tests.support.refusals import Refusal, refusal_of


@pytest.fixture
async def events(database):
    async with event_service(database) as stub:
        yield stub


async def logged_in_one(events: Stub, *messages: event_pb2.NewEvent):
    return (await events.LogEvents(pb.LogEventsRequest(events=messages))).events


async def batch(events: Stub, *requests: list[event_pb2.NewEvent]):
    request = pb.BatchLogEventsRequest(
        requests=[pb.LogEventsRequest(events=messages) for messages in requests]
    )
    return (await events.BatchLogEvents(request)).results


async def get(events: Stub, event_id: str) -> event_pb2.Event:
    return (await events.GetEvent(pb.GetEventRequest(event_id=event_id))).event


async def test_an_event_comes_back_as_it_was_sent(events):
    content = {"text": "hello", "parts": [1, 2.5, None, True, {"deep": []}]}
    message = a_message(
        person_id=ids.new(), link_id=ids.new(), group_id=ids.new(), session_id=ids.new(),
        platform="WhatsApp", content=content, metadata={"wanted": False}, consent_version=3,
        occurred_at={"seconds": 946_684_799, "nanos": 999_999_000},
    )  # fmt: skip

    place = (await events.LogEvent(pb.LogEventRequest(event=message))).event
    found = await get(events, message.event_id.upper())

    assert (place.event_id, place.position, place.duplicate) == (message.event_id, 1, False)
    assert found == event_pb2.Event(
        event_id=message.event_id, position=1, subject_id=message.link_id,
        person_id=message.person_id, link_id=message.link_id, group_id=message.group_id,
        session_id=message.session_id, event_type="message", platform="whatsapp",
        content=message.content, metadata=message.metadata, occurred_at=message.occurred_at,
        created_at=place.created_at, consent_version=3,
    )  # fmt: skip


async def test_an_event_without_an_id_gets_one_that_sorts_by_time(events):
    first = await log_one(events, event_id="")
    second = await log_one(events, event_id="")

    assert [UUID(event.event_id).version for event in (first, second)] == [7, 7]
    assert first.event_id < second.event_id
    assert [first.position, second.position] == [1, 2]


async def test_a_conversation_may_have_any_name_on_its_platform(events):
    names = [("discord", "#général"), ("Discord", "#général"), ("slack", "#général")]

    places = [await log_one(events, platform=p, session_id=name) for p, name in names]

    found = [await get(events, place.event_id) for place in places]
    assert [event.session_key for event in found] == ["#général"] * 3
    assert found[0].session_id == found[1].session_id == ids.conversation("discord", "#général")
    assert found[2].session_id == ids.conversation("slack", "#général")


async def test_a_repeat_answers_as_the_first_did(events):
    message = a_message(content={"text": "hello", "n": 1}, platform="Discord")
    # The same body: the order of keys, spelling and what is left out make no difference.
    same = a_message(message.event_id, content={"n": 1.0, "text": "hello"}, metadata={})

    first = (await events.LogEvent(pb.LogEventRequest(event=message))).event
    again = (await events.LogEvent(pb.LogEventRequest(event=same))).event

    assert again == event_pb2.LoggedEvent(
        event_id=first.event_id, position=1, created_at=first.created_at, duplicate=True
    )


@pytest.mark.parametrize(
    "change",
    [
        {"person_id": ids.new()}, {"link_id": ids.new()}, {"group_id": ids.new()},
        {"session_id": "elsewhere"}, {"event_type": "edit"}, {"platform": "slack"},
        {"content": {"text": "bye"}}, {"metadata": {"wanted": True}},
        {"occurred_at": {"seconds": 1}},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
async def test_another_body_under_the_same_id_is_a_conflict(events, change):
    place = await log_one(events, content={"text": "hello"})
    other = a_message(place.event_id, **{"content": {"text": "hello"}, **change})

    refusal = await refusal_of(events.LogEvent(pb.LogEventRequest(event=other)))

    assert refusal.code is grpc.StatusCode.ABORTED
    assert refusal.reason == "IDEMPOTENCY_CONFLICT"
    assert refusal.metadata == {"event_id": place.event_id}


async def test_what_a_server_adds_is_no_other_body(events):
    sent = hashlib.sha256(b"what the client sent").digest()
    place = await log_one(events, request_hash=sent, metadata={"why": "asked"}, consent_version=1)

    retried = a_message(
        place.event_id, request_hash=sent, metadata={"why": "rules"}, consent_version=2
    )
    again = (await events.LogEvent(pb.LogEventRequest(event=retried))).event
    other = a_message(place.event_id, request_hash=hashlib.sha256(b"else").digest())
    refusal = await refusal_of(events.LogEvent(pb.LogEventRequest(event=other)))

    assert again.duplicate
    assert structs.to_dict((await get(events, place.event_id)).metadata) == {"why": "asked"}
    assert refusal.reason == "IDEMPOTENCY_CONFLICT"


async def test_events_sent_together_are_logged_together_in_order(events):
    known = await log_one(events)
    messages = [a_message(), a_message(known.event_id), a_message()]

    places = await logged_in_one(events, *messages)

    assert [place.event_id for place in places] == [message.event_id for message in messages]
    assert [(place.position, place.duplicate) for place in places] == [
        (2, False), (1, True), (3, False)
    ]  # fmt: skip


async def test_a_conflict_leaves_nothing_of_its_request(events):
    known = await log_one(events)
    fresh = a_message()

    refusal = await refusal_of(
        logged_in_one(events, fresh, a_message(known.event_id, platform="slack"))
    )

    assert refusal.metadata == {"event_id": known.event_id}
    missing = await refusal_of(get(events, fresh.event_id))
    assert (missing.code, missing.reason) == (grpc.StatusCode.NOT_FOUND, "EVENT_NOT_FOUND")
    assert missing.metadata == {"event_id": fresh.event_id}


async def test_requests_of_a_batch_are_answered_each_on_its_own(events):
    known = await log_one(events)

    results = await batch(
        events,
        [a_message(), a_message()],
        [a_message(known.event_id, platform="slack"), a_message()],
        [a_message(), a_message(platform="")],
        [],
        [a_message(known.event_id)],
        [a_message()],
    )

    kinds = [result.WhichOneof("outcome") for result in results]
    assert kinds == ["response", "error", "error", "error", "response", "response"]
    assert [(place.position, place.duplicate) for r in results for place in r.response.events] == [
        (2, False),
        (3, False),
        (1, True),
        (4, False),
    ]
    refusals = [Refusal.of(result.error) for result in results[1:4]]
    assert [refusal.reason for refusal in refusals] == [
        "IDEMPOTENCY_CONFLICT", "INVALID_ARGUMENT", "INVALID_ARGUMENT"
    ]  # fmt: skip
    assert [refusal.fields for refusal in refusals[1:]] == [["events[1].platform"], ["events"]]


async def test_a_batch_is_appended_in_order_whatever_ids_its_requests_share(events, database):
    shared = [a_message() for _ in range(4)]
    requests = [[a_message(), shared[n % 4], a_message()] for n in range(12)]
    rivals = [[message] for message in shared[::-1]]

    mine, *_ = await asyncio.gather(
        batch(events, *requests), *(batch(events, *rivals) for _ in range(5))
    )

    new = [place.position for r in mine for place in r.response.events if not place.duplicate]
    assert new == sorted(new)
    assert len(new) >= 24
    async with administrator(database) as admin:
        assert await admin.fetchval("SELECT count(*) FROM event.event_log") == 28


async def test_a_hundred_racing_retries_over_two_instances_log_one_event(events, database):
    message = a_message(content={"text": "only once"})
    request = pb.LogEventRequest(event=message)

    async with event_service(database) as other:
        answers = await asyncio.gather(
            *(stub.LogEvent(request) for _ in range(50) for stub in (events, other))
        )

    assert len({(a.event.position, a.event.created_at.ToJsonString()) for a in answers}) == 1
    assert sorted(answer.event.duplicate for answer in answers) == [False] + [True] * 99
    async with administrator(database) as admin:
        counts = await admin.fetchrow(
            """SELECT (SELECT count(*) FROM event.event_log),
                      (SELECT count(*) FROM event.event_ids),
                      (SELECT position FROM event.log_head)"""
        )
    assert tuple(counts) == (1, 1, 1)
