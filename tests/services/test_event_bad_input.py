"""Malformed requests are refused before anything is done, and name the field."""

from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2

from event_svc.__main__ import assemble
from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb
from svckit import ids, pages, structs
from tests.support.cluster import administrator
from tests.support.events import a_message, event_service
from tests.support.refusals import Refusal, refusal_of
from tests.support.services import channel_to, running

ID = ids.new()
NAN = struct_pb2.Struct(fields={"n": struct_pb2.Value(number_value=float("nan"))})


@pytest.fixture
async def events(database):
    async with event_service(database) as stub:
        yield stub


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"in": value}
    return value


# What is wrong with an event, and the field that is named below the event's own path.
BAD_EVENTS: list[tuple[dict[str, Any], str]] = [
    ({"event_id": "1234"}, "event_id"),
    ({"event_id": "{" + ID + "}"}, "event_id"),
    ({"link_id": "not-a-uuid"}, "link_id"),
    ({"person_id": ID[:-1]}, "person_id"),
    ({"group_id": ID + " "}, "group_id"),
    ({"session_id": "x" * 257}, "session_id"),
    ({"session_id": "a\0b"}, "session_id"),
    ({"event_type": ""}, "event_type"),
    ({"event_type": "Message"}, "event_type"),
    ({"event_type": "two words"}, "event_type"),
    ({"event_type": "x" * 65}, "event_type"),
    ({"event_type": "redaction", "platform": "Kith"}, "event_type"),
    ({"event_type": "erasure", "platform": "kith"}, "event_type"),
    ({"platform": ""}, "platform"),
    ({"platform": "dis\0cord"}, "platform"),
    ({"platform": "x" * 65}, "platform"),
    ({"content": {"text": "x" * (256 << 10)}}, "content"),
    ({"content": {"text": "a\0b"}}, "content.text"),
    ({"content": {"list": [1, {"n": 2**53 + 2}]}}, "content.list[1].n"),
    ({"content": {"n": 1e300}}, "content.n"),
    ({"metadata": {"text": "x" * (17 << 10)}}, "metadata"),
    ({"metadata": {"a": {"b": "\0"}}}, "metadata.a.b"),
    ({"occurred_at": {"seconds": -1}}, "occurred_at"),
    ({"occurred_at": {"seconds": 253_402_300_800}}, "occurred_at"),
    ({"occurred_at": {"seconds": 1, "nanos": 1_000_000_000}}, "occurred_at"),
    ({"consent_version": -1}, "consent_version"),
    ({"request_hash": b"short"}, "request_hash"),
    ({"request_hash": b"x" * 33}, "request_hash"),
]


async def test_a_malformed_event_is_refused_and_the_field_named_by_its_path(events, database):
    for change, field in BAD_EVENTS:
        bad = a_message(**change)

        alone = await refusal_of(events.LogEvent(pb.LogEventRequest(event=bad)))
        together = await refusal_of(
            events.LogEvents(pb.LogEventsRequest(events=[a_message(), bad]))
        )

        for refusal, path in ((alone, "event"), (together, "events[1]")):
            assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT, change
            assert refusal.reason == "INVALID_ARGUMENT", change
            assert refusal.fields == [f"{path}.{field}"], change
    async with administrator(database) as admin:
        assert await admin.fetchval("SELECT position FROM event.log_head") == 0


async def test_what_is_malformed_in_a_batch_fails_alone_with_the_path_of_its_own_request(events):
    request = pb.BatchLogEventsRequest()
    for change, _ in BAD_EVENTS:
        request.requests.add(events=[a_message(), a_message(**change)])
    request.requests.add(events=[a_message()])

    results = (await events.BatchLogEvents(request)).results

    *bad, good = results
    assert [Refusal.of(result.error).fields for result in bad] == [
        [f"events[1].{field}"] for _, field in BAD_EVENTS
    ]
    assert [place.position for place in good.response.events] == [1]


async def test_numbers_that_are_none_are_refused(events):
    for name in ("content", "metadata"):
        message = a_message()
        getattr(message, name).CopyFrom(NAN)

        refusal = await refusal_of(events.LogEvent(pb.LogEventRequest(event=message)))

        assert refusal.fields == [f"event.{name}.n"]


async def test_json_that_is_nested_too_deep_is_refused(events):
    for name in ("content", "metadata"):
        message = a_message(**{name: nested(32)})

        refusal = await refusal_of(events.LogEvent(pb.LogEventRequest(event=message)))

        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert refusal.fields[0].startswith(f"event.{name}.in.in")


async def test_limits_themselves_are_allowed(events):
    envelope = len('{"text":""}')
    message = a_message(
        event_type="x" * 64, platform="P" * 64, session_id="ছ" * 256,
        content={"text": "x" * ((256 << 10) - envelope)},
        metadata={"text": "x" * ((17 << 10) - envelope)},
        occurred_at={"seconds": 253_402_300_799, "nanos": 999_999_999},
    )  # fmt: skip
    deep = a_message(content={"n": 2**53, "m": -(2**53), "in": nested(30)})
    request = pb.LogEventsRequest(events=[message, deep])

    batch = await events.BatchLogEvents(pb.BatchLogEventsRequest(requests=[request]))
    found = (await events.GetEvent(pb.GetEventRequest(event_id=message.event_id))).event
    found_deep = (await events.GetEvent(pb.GetEventRequest(event_id=deep.event_id))).event

    assert [place.position for place in batch.results[0].response.events] == [1, 2]
    assert found.session_key == "ছ" * 256
    assert found.content == message.content
    assert found.occurred_at.nanos == 999_999_000
    assert structs.to_dict(found_deep.content) == structs.to_dict(deep.content)


async def test_text_that_is_not_utf8_is_refused_by_field(database):
    message = a_message(platform="placeholder").SerializeToString()
    wire = message.replace(b"placeholder", b"placehold\xff\xff")

    async with running(assemble, database, "event") as address, channel_to(address) as channel:
        call = channel.unary_unary("/kith.event.v1.EventService/LogEvent")
        refusal = await refusal_of(call(b"\x0a" + bytes([len(wire)]) + wire))

    assert refusal.fields == ["event.platform"]


async def test_a_request_without_an_event_is_refused(events):
    refusal = await refusal_of(events.LogEvent(pb.LogEventRequest()))

    assert refusal.domain == "event.kith"
    assert refusal.reason == "INVALID_ARGUMENT"
    assert refusal.fields[0].startswith("event.")


async def test_an_id_twice_in_one_request_is_refused_where_it_occurs_again(events):
    messages = [a_message(ID), a_message(), a_message(ID.upper())]

    refusal = await refusal_of(events.LogEvents(pb.LogEventsRequest(events=messages)))

    assert refusal.fields == ["events[2].event_id"]


async def test_batches_have_one_to_a_thousand_events(events):
    one = a_message("")
    thousand = [one] * 1000
    log, batch = events.LogEvents, events.BatchLogEvents
    request = pb.LogEventsRequest

    refusals = [
        await refusal_of(call)
        for call in (
            log(request(events=[])),
            log(request(events=[*thousand, one])),
            batch(pb.BatchLogEventsRequest(requests=[])),
            batch(pb.BatchLogEventsRequest(requests=[request(events=[one])] * 1001)),
            batch(pb.BatchLogEventsRequest(requests=[request(events=thousand[:501])] * 2)),
        )
    ]
    whole = await log(request(events=thousand))
    split = await batch(pb.BatchLogEventsRequest(requests=[request(events=[one])] * 1000))

    assert [refusal.fields for refusal in refusals] == [["events"]] * 2 + [["requests"]] * 3
    assert {refusal.code for refusal in refusals} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert whole.events[-1].position == 1000
    assert split.results[-1].response.events[0].position == 2000


BAD_LISTS: list[tuple[dict[str, Any], str]] = [
    ({"page_size": -1}, "page_size"),
    ({"after_position": -1}, "after_position"),
    ({"order": 7}, "order"),
    ({"page_token": "!"}, "page_token"),
    ({"page_token": "bm90IGEgdG9rZW4"}, "page_token"),
    ({"page_scope": "x" * 129}, "page_scope"),
    ({"page_scope": "\0"}, "page_scope"),
    ({"filter": {"subject_ids": [ID, "x"]}}, "filter.subject_ids[1]"),
    ({"filter": {"subject_ids": [ID] * 1001}}, "filter.subject_ids"),
    ({"filter": {"group_id": "x"}}, "filter.group_id"),
    ({"filter": {"session_id": "#general"}}, "filter.session_id"),
    ({"filter": {"event_types": ["message", "A B"]}}, "filter.event_types[1]"),
    ({"filter": {"event_types": ["message"] * 33}}, "filter.event_types"),
    ({"filter": {"platforms": [""]}}, "filter.platforms[0]"),
    ({"filter": {"platforms": ["web"] * 33}}, "filter.platforms"),
    ({"filter": {"occurred_from": {"seconds": -1}}}, "filter.occurred_from"),
    ({"filter": {"occurred_to": {"seconds": 253_402_300_800}}}, "filter.occurred_to"),
]


async def test_a_malformed_query_is_refused_and_names_the_field(events):
    for change, field in BAD_LISTS:
        changes = dict(change)
        if "filter" in changes:
            changes["filter"] = event_pb2.EventFilter(**changes["filter"])

        refusal = await refusal_of(events.ListEvents(pb.ListEventsRequest(**changes)))

        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT, change
        assert refusal.fields == [field], change


async def test_a_token_that_leads_nowhere_is_malformed(events):
    query = [[], None, None, [], [], None, None, 0, False]

    for place in ("x", -1, 2**63, 1.5, [], True):
        refusal = await refusal_of(
            events.ListEvents(pb.ListEventsRequest(page_token=pages.token(place, query)))
        )

        assert refusal.fields == ["page_token"], place


async def test_malformed_names_and_places_are_refused(events):
    get, save = events.GetCursor, events.SaveCursor
    refusals = [
        await refusal_of(call)
        for call in (
            events.GetEvent(pb.GetEventRequest()),
            events.GetEvent(pb.GetEventRequest(event_id="x")),
            get(pb.GetCursorRequest(name="")),
            get(pb.GetCursorRequest(name="x" * 129)),
            get(pb.GetCursorRequest(name="a b")),
            save(pb.SaveCursorRequest(name="", position=0)),
            save(pb.SaveCursorRequest(name="\0", position=0)),
            save(pb.SaveCursorRequest(name="catch-up", position=-1)),
        )
    ]

    assert [refusal.fields[0] for refusal in refusals] == [
        "event_id", "event_id", "name", "name", "name", "name", "name", "position"
    ]  # fmt: skip
    assert {refusal.reason for refusal in refusals} == {"INVALID_ARGUMENT"}
