"""SearchEvents: its scopes and pages over a real channel, and what it refuses."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb
from svckit import ids
from tests.support.events import Stub, event_service, log_one
from tests.support.refusals import refusal_of

ADA, BOB = ids.new(), ids.new()


@pytest.fixture
async def events(database) -> AsyncIterator[Stub]:
    async with event_service(database) as stub:
        yield stub


def a_search(**changes) -> pb.SearchEventsRequest:
    """A search for tea in what Ada said."""
    return pb.SearchEventsRequest(
        **{"filter": event_pb2.EventFilter(subject_ids=[ADA]), "query": "tea", **changes}
    )


async def test_a_search_leads_through_its_hits_newest_first(events):
    for number in range(6):
        await log_one(events, person_id=ADA, content={"text": f"Tea number {number}"})
        await log_one(events, person_id=BOB, content={"text": "tea"})
        await log_one(events, person_id=ADA, content={"text": "steamed"})

    pages = [await events.SearchEvents(a_search(page_size=4))]
    # What comes meanwhile shifts nothing.
    await log_one(events, person_id=ADA, content={"text": "more tea"})
    while token := pages[-1].next_page_token:
        pages.append(await events.SearchEvents(a_search(page_size=4, page_token=token)))

    assert [[event.position for event in page.events] for page in pages] == [
        [16, 13, 10, 7],
        [4, 1],
    ]
    assert pages[0].events[0].content["text"] == "Tea number 5"


async def test_each_mode_looks_in_its_own_way(events):
    await log_one(events, person_id=ADA, content={"text": "green tea, 100% leaf"})
    await log_one(events, person_id=ADA, content={"text": "the team"})

    async def found(query: str, mode: pb.SearchMode) -> list[int]:
        answer = await events.SearchEvents(a_search(query=query, mode=mode))
        return [event.position for event in answer.events]

    assert await found("TEA", pb.SEARCH_MODE_UNSPECIFIED) == [1]
    assert await found("leaf tea", pb.SEARCH_MODE_WORDS) == [1]
    assert await found("leaf tea", pb.SEARCH_MODE_SUBSTRING) == []
    assert await found("tea", pb.SEARCH_MODE_SUBSTRING) == [2, 1]
    assert await found("0% L", pb.SEARCH_MODE_SUBSTRING) == [1]
    assert await found("1%f", pb.SEARCH_MODE_SUBSTRING) == []


async def test_a_page_token_belongs_to_its_search(events):
    for _ in range(3):
        await log_one(events, person_id=ADA, content={"text": "tea"})
    token = (await events.SearchEvents(a_search(page_size=1))).next_page_token
    listed = await events.ListEvents(pb.ListEventsRequest(page_size=1))

    for changes in (
        {"query": "coffee"},
        {"mode": pb.SEARCH_MODE_SUBSTRING},
        {"filter": event_pb2.EventFilter(subject_ids=[BOB])},
        {"page_scope": "ada"},
        {"page_token": listed.next_page_token},
        {"page_token": "AAAA"},
    ):
        refusal = await refusal_of(
            events.SearchEvents(a_search(**{"page_token": token, **changes}))
        )
        assert refusal.fields == ["page_token"], changes


LATE = {"seconds": 86_400 * 31 + 1}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"filter": None}, "filter"),
        ({"filter": {"event_types": ["message"]}}, "filter"),
        ({"filter": {"occurred_from": {"seconds": 1}}}, "filter"),
        ({"filter": {"occurred_to": {"seconds": 1}}}, "filter"),
        ({"filter": {"occurred_from": {}, "occurred_to": LATE}}, "filter.occurred_from"),
        ({"filter": {"occurred_from": {"seconds": -1}}}, "filter.occurred_from"),
        ({"filter": {"occurred_to": {"seconds": 253_402_300_800}}}, "filter.occurred_to"),
        ({"filter": {"subject_ids": ["ada"]}}, "filter.subject_ids[0]"),
        ({"filter": {"group_id": "guild"}}, "filter.group_id"),
        ({"query": ""}, "query"),
        ({"query": " \t"}, "query"),
        ({"query": "x" * 513}, "query"),
        ({"query": "nul\0"}, "query"),
        ({"query": " ".join(map(str, range(33)))}, "query"),
        ({"mode": 9}, "mode"),
        ({"page_size": -1}, "page_size"),
        ({"page_scope": "x" * 129}, "page_scope"),
    ],
)
async def test_a_malformed_search_is_refused_by_field(events, changes, field):
    refusal = await refusal_of(events.SearchEvents(a_search(**changes)))

    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"
    )  # fmt: skip
    assert refusal.fields == [field]


async def test_what_is_just_small_enough_is_searched(events):
    for changes in (
        {"filter": {"occurred_from": {}, "occurred_to": {"seconds": 86_400 * 31}}},
        {"query": "x" * 512},
        {"query": "ß" * 512, "mode": pb.SEARCH_MODE_SUBSTRING},
        {"query": " ".join(map(str, range(32)))},
        {"query": "  ", "mode": pb.SEARCH_MODE_SUBSTRING},
        {"page_size": 100_000},
    ):
        answer = await events.SearchEvents(a_search(**changes))
        assert (list(answer.events), answer.next_page_token) == ([], "")


async def test_searches_go_on_beside_writers(events):
    async def write() -> None:
        for _ in range(20):
            await log_one(events, person_id=ADA, content={"text": "tea"})

    async def search() -> list[int]:
        found: list[int] = []
        token = ""
        while True:
            page = await events.SearchEvents(a_search(page_size=7, page_token=token))
            found += [event.position for event in page.events]
            if not (token := page.next_page_token):
                return found

    _, *searched = await asyncio.gather(write(), *(search() for _ in range(5)))

    for found in [*searched, await search()]:
        assert found == list(range(len(found), 0, -1))


async def test_a_notice_is_no_hit_unless_it_is_asked_for(events):
    place = await log_one(events, person_id=ADA, content={"text": "tea"})
    await events.RedactEvents(pb.RedactEventsRequest(event_ids=[place.event_id], reason="why"))

    async def found(**chosen: list[str]) -> list[int]:
        chosen_events = event_pb2.EventFilter(subject_ids=[ADA], **chosen)
        # The notice names the event by its id.
        answer = await events.SearchEvents(
            a_search(filter=chosen_events, query=place.event_id, mode=pb.SEARCH_MODE_SUBSTRING)
        )
        return [event.position for event in answer.events]

    assert await found() == []
    assert await found(event_types=["redaction"]) == [2]
