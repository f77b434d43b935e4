"""The routes of events: what each asks the services, and what it makes of the answers."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio
from google.protobuf import timestamp_pb2

from gateway.flows import log_events
from kith.event.v1 import event_pb2
from kith.event.v1 import event_service_pb2 as pb
from kith.identity.v1 import identity_service_pb2, person_pb2
from kith.knowledge.v1 import knowledge_service_pb2
from svckit import errors, ids, structs
from tests.support.messages import fields, problem
from tests.support.scripted import Scripted

# The same in each run, because they stand in the names of tests.
ADA, GRACE, LINK, EVENT, GROUP = (ids.named("test", str(n)) for n in range(5))
NOON = timestamp_pb2.Timestamp(seconds=int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()))
AT_NOON = "2026-03-01T12:00:00Z"

AN_EVENT = event_pb2.Event(
    event_id=EVENT, position=7, subject_id=LINK, person_id=GRACE, link_id=LINK, event_type="note",
    platform="web", occurred_at=NOON, created_at=NOON, redacted_at=NOON, redaction_reason="asked",
)  # fmt: skip
EVENT_SHOWN = {
    "event_id": EVENT, "position": 7, "event_type": "note", "platform": "web",
    "person_id": GRACE, "link_id": LINK, "group_id": None, "session_id": None,
    "session_key": None, "content": {}, "metadata": {}, "occurred_at": AT_NOON,
    "created_at": AT_NOON, "consent_version": 0, "redacted_at": AT_NOON,
    "redaction_reason": "asked",
}  # fmt: skip
LOGGED = event_pb2.LoggedEvent(event_id=EVENT, position=7, created_at=NOON)
LOGGED_SHOWN = {"event_id": EVENT, "position": 7, "created_at": AT_NOON, "duplicate": False}
ADA_AND_GRACE = person_pb2.Person(
    person_id=ADA, person_ids=[ADA, GRACE], subject_ids=[ADA, LINK, GRACE]
)
FILTER = event_pb2.EventFilter(
    subject_ids=[ADA, LINK, GRACE], group_id=GROUP, session_id=EVENT, event_types=["a", "b"],
    platforms=["web"], occurred_from=NOON, occurred_to=NOON,
)  # fmt: skip
FILTERS = {
    "group_id": GROUP, "session_id": EVENT, "event_type": ["a", "B"], "platform": "Web",
    "from": AT_NOON, "to": AT_NOON, "page_size": 3, "page_token": "t",
}  # fmt: skip


# One gateway for all of them: to put one together takes longer than to ask it.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Scripted]:
    async with Scripted().running() as scripted:
        yield scripted


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(running: Scripted) -> AsyncIterator[httpx.AsyncClient]:
    async with running.gateway() as client:
        yield client


@pytest.fixture
def scripted(running: Scripted) -> Scripted:
    running.forget()
    running.people(ADA_AND_GRACE)
    return running


def logs(scripted: Scripted, *logged: event_pb2.LoggedEvent) -> None:
    """Have the log answer a request so."""
    response = pb.LogEventsResponse(events=logged)
    answer = pb.BatchLogEventsResponse(results=[pb.LogEventsResult(response=response)])
    scripted.events.answer("BatchLogEvents", answer)


def refuses(scripted: Scripted, field: str) -> None:
    """Have the log refuse a request because of a field."""

    def answer(request: Any) -> Any:
        raise errors.InvalidRequest(field, "is bad")

    scripted.events.answer("BatchLogEvents", answer)


def events_of(scripted: Scripted) -> Any:
    [request] = scripted.events.last("BatchLogEvents").requests
    return request.events


async def test_any_event_can_be_logged(scripted: Scripted, gateway: httpx.AsyncClient):
    logs(scripted, LOGGED)
    body = {
        "event_id": EVENT, "event_type": "Mood", "platform": "Web", "person_id": ADA,
        "link_id": LINK, "group_id": GROUP, "session_id": "talk", "content": {"score": 7},
        "metadata": {"m": 1}, "occurred_at": AT_NOON,
    }  # fmt: skip

    answer = await gateway.post("/v1/events", json=body)

    assert (answer.status_code, answer.json()) == (201, LOGGED_SHOWN)
    assert list(events_of(scripted)) == [
        event_pb2.NewEvent(
            event_id=EVENT, event_type="mood", platform="web", person_id=ADA, link_id=LINK,
            group_id=GROUP, session_id="talk", content=structs.from_dict({"score": 7}),
            metadata=structs.from_dict({"m": 1}), occurred_at=NOON,
        )
    ]  # fmt: skip


async def test_a_repeat_is_200(scripted: Scripted, gateway: httpx.AsyncClient):
    logs(scripted, event_pb2.LoggedEvent(event_id=EVENT, position=7, duplicate=True))

    answer = await gateway.post("/v1/events", json={"event_type": "a", "platform": "b"})

    assert (answer.status_code, answer.json()["duplicate"]) == (200, True)


async def test_a_platform_id_is_resolved_and_its_consent_noted(
    scripted: Scripted, gateway: httpx.AsyncClient
):
    logs(scripted, LOGGED)
    identity = identity_service_pb2.Identity(
        person_id=ADA, link_id=LINK, consent=person_pb2.Consent(version=4)
    )
    response = identity_service_pb2.ResolveIdentityResponse(identity=identity)
    results = [identity_service_pb2.ResolveIdentityResult(response=response)]
    scripted.identity.answer(
        "BatchResolveIdentities",
        identity_service_pb2.BatchResolveIdentitiesResponse(results=results),
    )
    body = {"event_type": "a", "platform": "web", "platform_id": "ada", "event_id": EVENT}

    hashes = set()
    for _ in range(2):
        assert (await gateway.post("/v1/events", json=body)).status_code == 201
        [event] = events_of(scripted)
        assert (event.person_id, event.link_id, event.consent_version) == (ADA, LINK, 4)
        hashes.add(event.request_hash)
        identity.link_id = GRACE
        results[0].response.identity.CopyFrom(identity)

    # A retry is the same request whoever holds the id by then.
    assert len(hashes) == 1 and len(hashes.pop()) == 32


async def test_a_platform_id_of_nobody_is_404(scripted: Scripted, gateway: httpx.AsyncClient):
    class LinkNotFound(errors.NotFound):
        reason = "LINK_NOT_FOUND"

    scripted.identity.answer("BatchResolveIdentities", LinkNotFound("nobody"))
    scripted.events.answer("GetEvent", errors.NotFound("no such event"))

    answer = await gateway.post(
        "/v1/events", json={"event_type": "a", "platform": "web", "platform_id": "nobody"}
    )

    assert (answer.status_code, problem(answer)["reason"]) == (404, "LINK_NOT_FOUND")
    assert "BatchLogEvents" not in scripted.events.asked


async def test_a_key_names_an_event(scripted: Scripted, gateway: httpx.AsyncClient):
    logs(scripted, LOGGED)
    body = {"event_type": "a", "platform": "b"}
    asked = []
    for headers in ({"idempotency-key": "k"}, {"idempotency-key": "k"}, {}, {}):
        await gateway.post("/v1/events", json=body, headers=headers)
        asked.append(events_of(scripted)[0].event_id)

    assert asked[0] == asked[1] == ids.named("local", "/v1/events", "k")
    assert len(set(asked)) == 3 and all(ids.is_uuid(each) for each in asked)


async def test_a_batch_is_logged_together(scripted: Scripted, gateway: httpx.AsyncClient):
    repeated = event_pb2.LoggedEvent(event_id=EVENT, position=7, duplicate=True)
    logs(scripted, LOGGED, repeated)
    body = [{"event_type": "a", "platform": "b", "content": {"n": n}} for n in range(2)]

    some = await gateway.post("/v1/events:batch", json=body, headers={"idempotency-key": "k"})
    asked = [event.event_id for event in events_of(scripted)]
    logs(scripted, repeated, repeated)
    none = await gateway.post("/v1/events:batch", json=body, headers={"idempotency-key": "k"})

    assert (some.status_code, none.status_code) == (201, 200)
    assert [event["duplicate"] for event in some.json()["events"]] == [False, True]
    assert asked == [event.event_id for event in events_of(scripted)]
    assert len(set(asked)) == 2


@pytest.mark.parametrize(
    ("path", "body", "named", "field"),
    [
        ("/v1/events", {}, "events[0].content.a", "content.a"),
        ("/v1/events:batch", [{}, {}], "events[1].content.a", "[1].content.a"),
        ("/v1/events:batch", [{}, {}], "events", "events"),
    ],
)
async def test_the_fields_of_the_log_are_called_as_the_client_calls_them(
    scripted: Scripted, gateway: httpx.AsyncClient, path: str, body: Any, named: str, field: str
):
    refuses(scripted, named)
    event = {"event_type": "a", "platform": "b"}
    body = [event for _ in body] if isinstance(body, list) else event

    assert fields(await gateway.post(path, json=body)) == [field]


async def test_a_batch_that_no_message_holds_is_413(
    gateway: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
):
    # A number is two bytes here and more than ten between the services.
    monkeypatch.setattr(log_events, "MOST_BYTES", 20_000)
    event = {"event_type": "a", "platform": "b", "content": {"n": [1] * 1000}}

    answer = await gateway.post("/v1/events:batch", json=[event] * 2)

    assert (answer.status_code, problem(answer)["reason"]) == (413, "BODY_TOO_LARGE")


async def test_one_event_can_be_read(scripted: Scripted, gateway: httpx.AsyncClient):
    scripted.events.answer("GetEvent", pb.GetEventResponse(event=AN_EVENT))

    answer = await gateway.get(f"/v1/events/{EVENT.upper()}")

    assert (answer.status_code, answer.json()) == (200, EVENT_SHOWN)
    assert scripted.events.last("GetEvent").event_id == EVENT


@pytest.mark.parametrize("person_id", [ADA, GRACE])
@pytest.mark.parametrize("path", ["/v1/events", "/v1/persons/{person_id}/timeline"])
async def test_a_list_takes_every_filter_and_expands_whoever_is_meant(
    scripted: Scripted, gateway: httpx.AsyncClient, path: str, person_id: str
):
    page = pb.ListEventsResponse(events=[AN_EVENT], next_page_token="n", scanned_position=9)
    scripted.events.answer("ListEvents", page)
    query = {**FILTERS, "after": 5}
    if path == "/v1/events":
        query["person_id"] = person_id

    answer = await gateway.get(path.format(person_id=person_id), params=query)

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"events": [EVENT_SHOWN], "next_page_token": "n", "position": 9}
    asked = scripted.events.last("ListEvents")
    assert asked == pb.ListEventsRequest(
        filter=FILTER, after_position=5, order=pb.ORDER_ASCENDING, page_size=3, page_token="t",
        follow=True,
        # The person as addressed: what else they are called may change between pages.
        page_scope=person_id,
    )  # fmt: skip
    assert scripted.identity.last("BatchGetPersons").view == identity_service_pb2.PERSON_VIEW_BASIC


@pytest.mark.parametrize(
    ("query", "order", "position"),
    [
        ({}, pb.ORDER_DESCENDING, None),
        ({"order": "asc"}, pb.ORDER_ASCENDING, 9),
        ({"after": 0}, pb.ORDER_ASCENDING, 9),
        ({"after": 3, "order": "desc"}, pb.ORDER_DESCENDING, None),
    ],
)
async def test_the_newest_come_first_but_for_a_follower(
    scripted: Scripted, gateway: httpx.AsyncClient, query: Any, order: Any, position: Any
):
    scripted.events.answer("ListEvents", pb.ListEventsResponse(scanned_position=9))

    answer = await gateway.get("/v1/events", params=query)

    assert answer.json() == {"events": [], "next_page_token": None, "position": position}
    assert scripted.events.last("ListEvents").order == order


async def test_events_can_be_searched(scripted: Scripted, gateway: httpx.AsyncClient):
    response = pb.SearchEventsResponse(events=[AN_EVENT], next_page_token="n")
    scripted.events.answer("SearchEvents", response)
    query = {**FILTERS, "query": "Lisbon", "mode": "substring", "person_id": GRACE}

    answer = await gateway.get("/v1/events/search", params=query)

    assert answer.json() == {"events": [EVENT_SHOWN], "next_page_token": "n"}
    assert scripted.events.last("SearchEvents") == pb.SearchEventsRequest(
        filter=FILTER, query="Lisbon", mode=pb.SEARCH_MODE_SUBSTRING, page_size=3, page_token="t",
        page_scope=GRACE,
    )  # fmt: skip


async def test_events_can_be_counted(scripted: Scripted, gateway: httpx.AsyncClient):
    count = pb.EventCount(start=NOON, event_type="note", count=5)
    scripted.events.answer("GetEventStats", pb.GetEventStatsResponse(counts=[count], total=5))
    query = {
        "from": AT_NOON, "to": AT_NOON, "bucket": "week", "event_type": "note", "platform": "web",
        "by": ["event_type", "platform"],
    }  # fmt: skip

    answer = await gateway.get("/v1/events/stats", params=query)

    assert answer.json() == {
        "counts": [{"start": AT_NOON, "event_type": "note", "platform": None, "count": 5}],
        "total": 5,
    }
    assert scripted.events.last("GetEventStats") == pb.GetEventStatsRequest(
        **{"from": NOON}, to=NOON, bucket=pb.STATS_BUCKET_WEEK, event_types=["note"],
        platforms=["web"], by_event_type=True, by_platform=True,
    )  # fmt: skip


async def test_redacting_takes_knowledge_with_it(scripted: Scripted, gateway: httpx.AsyncClient):
    scripted.events.answer("GetEvent", pb.GetEventResponse(event=AN_EVENT))
    scripted.events.answer("RedactEvents", pb.RedactEventsResponse(redacted_ids=[EVENT]))
    scripted.knowledge.answer("DeleteKnowledge", knowledge_service_pb2.DeleteKnowledgeResponse())
    body = {"event_ids": [EVENT, GROUP], "reason": "asked"}

    answer = await gateway.post("/v1/events:redact", json=body)

    assert (answer.status_code, answer.json()) == (200, {"redacted_ids": [EVENT]})
    assert scripted.events.last("RedactEvents") == pb.RedactEventsRequest(
        event_ids=[EVENT, GROUP], reason="asked"
    )
    deleted = {each.knowledge_id for each in scripted.knowledge.asked["DeleteKnowledge"]}
    assert deleted == {ids.derived(each, "knowledge") for each in (EVENT, GROUP)}


async def test_redacting_is_not_done_before_knowledge_is_gone(
    scripted: Scripted, gateway: httpx.AsyncClient
):
    scripted.events.answer("GetEvent", pb.GetEventResponse(event=AN_EVENT))
    scripted.events.answer("RedactEvents", pb.RedactEventsResponse(redacted_ids=[EVENT]))
    scripted.knowledge.answer("DeleteKnowledge", errors.Unavailable("away"))

    answer = await gateway.post(
        "/v1/events:redact", json={"event_ids": [EVENT] * 40, "reason": "asked"}
    )

    assert (answer.status_code, problem(answer)["reason"]) == (503, "STORE_UNAVAILABLE")


@pytest.mark.parametrize("path", ["/timeline", "/projections/mood"])
async def test_somebody_with_too_many_subjects_cannot_be_read_as_one(
    scripted: Scripted, gateway: httpx.AsyncClient, path: str
):
    subjects = [ids.named("subject", str(n)) for n in range(1001)]
    scripted.people(person_pb2.Person(person_id=ADA, person_ids=[ADA], subject_ids=subjects))

    answer = await gateway.get(f"/v1/persons/{ADA}{path}")

    assert (answer.status_code, problem(answer)["reason"]) == (409, "TOO_MANY_SUBJECTS")
