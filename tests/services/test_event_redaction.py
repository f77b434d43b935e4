"""Redaction, erasure and export over a real channel, with others at it."""

import asyncio
from itertools import count

import grpc
import pytest

from event_svc.adapters.sql_log import SqlEventStore
from event_svc.servicers import redaction
from kith.event.v1 import event_service_pb2 as pb
from svckit import ids, structs
from tests.support.cluster import WAITING, administrator
from tests.support.events import (
    Stub,
    a_message,
    an_event,
    event_service,
    log_one,
    logged,
    move_clock,
)
from tests.support.refusals import refusal_of
from tests.support.services import store_of
from tests.support.subscribers import Stream

ADA, BOB = ids.new(), ids.new()


@pytest.fixture
async def events(database):
    async with event_service(database) as stub:
        yield stub


@pytest.fixture
async def admin(database):
    async with administrator(database) as connection:
        yield connection


async def listed(events: Stub, **chosen):
    request = pb.ListEventsRequest(page_size=1000)
    for name, value in chosen.items():
        getattr(request.filter, name).extend(value)
    return (await events.ListEvents(request)).events


async def erase(events: Stub, *subject_ids: str, **call) -> pb.EraseSubjectsResponse:
    return await events.EraseSubjects(pb.EraseSubjectsRequest(subject_ids=subject_ids), **call)


async def counted(events: Stub, *subject_ids: str) -> pb.CountSubjectsResponse:
    return await events.CountSubjects(pb.CountSubjectsRequest(subject_ids=subject_ids))


async def exported(events: Stub, *subject_ids: str, after: int = 0):
    request = pb.ExportEventsRequest(subject_ids=subject_ids, after_position=after)
    return [response.events async for response in events.ExportEvents(request)]


async def log_many(events: Stub, number: int, **changes) -> None:
    messages = [a_message(content={"n": n}, **changes) for n in range(number)]
    await events.LogEvents(pb.LogEventsRequest(events=messages))


async def test_a_redacted_event_is_shown_as_such(events):
    place = await log_one(events, person_id=ADA, content={"text": "secret"}, metadata={"m": 1})

    answer = await events.RedactEvents(
        pb.RedactEventsRequest(event_ids=[place.event_id, ids.new()], reason="asked for")
    )

    found = (await events.GetEvent(pb.GetEventRequest(event_id=place.event_id))).event
    assert answer.redacted_ids == [place.event_id]
    assert (found.redaction_reason, found.position) == ("asked for", place.position)
    assert not found.content.fields
    assert not found.metadata.fields
    assert found.redacted_at.ToDatetime() > found.created_at.ToDatetime()


async def test_an_event_that_says_what_it_said_is_not_shown_as_redacted(events):
    place = await log_one(events)

    found = (await events.GetEvent(pb.GetEventRequest(event_id=place.event_id))).event

    assert not found.HasField("redacted_at")
    assert found.redaction_reason == ""


async def test_a_persons_past_shows_no_notices_unless_they_are_asked_for(events):
    place = await log_one(events, person_id=ADA)
    await events.RedactEvents(pb.RedactEventsRequest(event_ids=[place.event_id], reason="why"))

    past = await listed(events, subject_ids=[ADA])
    asked = await listed(events, subject_ids=[ADA], event_types=["redaction"])
    everything = await listed(events)

    assert [event.event_type for event in past] == ["message"]
    assert [structs.to_dict(event.content) for event in asked] == [
        {"event_ids": [place.event_id], "positions": [1]}
    ]
    assert [event.event_type for event in everything] == ["message", "redaction"]


@pytest.mark.parametrize("by", ["redaction", "erasure"])
async def test_what_was_taken_away_is_not_told_from_memory(events, by):
    # Whoever is there first has the service keep in memory what comes.
    async with Stream(events, from_now=True) as first:
        await first.until_caught_up()
        secret = await log_one(events, person_id=ADA, content={"text": "secret"})
        await log_one(events, person_id=BOB, content={"text": "hello"})
        await first.events(2)
        if by == "redaction":
            request = pb.RedactEventsRequest(event_ids=[secret.event_id], reason="why")
            await events.RedactEvents(request)
        else:
            await erase(events, ADA)
        await first.events(1)
        async with Stream(events, after_position=0) as second:
            answer = await second.next()
            await log_one(events, person_id=BOB)
            assert (await first.events(1), await second.events(1)) == ([4], [4])

    told = [(event.position, structs.to_dict(event.content)) for event in answer.events]
    assert [position for position, _ in told] == [1, 2, 3]
    assert [content for _, content in told[:2]] == [{}, {"text": "hello"}]


async def test_what_an_older_log_holds_that_looks_like_a_notice_takes_nothing(events, database):
    async with Stream(events, from_now=True) as stream, store_of(database, "event") as store:
        await stream.until_caught_up()
        await log_one(events, person_id=ADA)
        for content in ({"positions": [{}, "x", 1]}, {"positions": 1}, {}):
            for kind in ("redaction", "erasure"):
                forged = an_event(platform="kith", event_type=kind, person_id=ADA, content=content)
                await logged(SqlEventStore(store.functions), forged)
        async with Stream(events, after_position=0) as second:
            assert await second.until_caught_up() == list(range(1, 8))
        assert await stream.events(7) == list(range(1, 8))


BAD_IDS = [
    ([], ""), (["x"], "[0]"), ([ADA, ""], "[1]"), ([ids.new() for _ in range(1001)], "")
]  # fmt: skip


@pytest.mark.parametrize(("given", "spot"), BAD_IDS)
async def test_bad_ids_are_refused_by_name(events, given, spot):
    for call, field in (
        (events.RedactEvents(pb.RedactEventsRequest(event_ids=given, reason="r")), "event_ids"),
        (erase(events, *given), "subject_ids"),
        (counted(events, *given), "subject_ids"),
        (exported(events, *given), "subject_ids"),
    ):
        refusal = await refusal_of(call)
        assert (refusal.reason, refusal.fields) == ("INVALID_ARGUMENT", [field + spot])


@pytest.mark.parametrize("reason", ["", "x" * 257, "a\0b", "erased"])
async def test_a_bad_reason_is_refused(events, reason):
    place = await log_one(events, content={"text": "stays"})

    refusal = await refusal_of(
        events.RedactEvents(pb.RedactEventsRequest(event_ids=[place.event_id], reason=reason))
    )

    assert refusal.fields == ["reason"]
    found = (await events.GetEvent(pb.GetEventRequest(event_id=place.event_id))).event
    assert structs.to_dict(found.content) == {"text": "stays"}


async def test_an_erasure_says_what_it_took_and_the_count_what_is_left(events):
    link_id = ids.new()
    await log_many(events, 30, person_id=ADA)
    await log_many(events, 20, person_id=ADA, link_id=link_id)
    await log_many(events, 10, person_id=BOB)
    before = await counted(events, ADA, link_id)

    first = await erase(events, ADA, link_id, ADA)
    again = await erase(events, link_id, ADA)

    assert (before.readable, before.total) == (50, 50)
    assert (first.erased, first.erased_in_all) == (50, 50)
    assert (again.erased, again.erased_in_all) == (0, 50)
    after = await counted(events, ADA, link_id)
    assert (after.readable, after.total) == (0, 50)
    assert (await counted(events, BOB)).readable == 10


async def test_a_late_event_is_refused_by_name(events):
    await erase(events, ADA)

    refusal = await refusal_of(log_one(events, person_id=ADA))

    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert (refusal.reason, refusal.metadata) == ("SUBJECT_ERASED", {"subject_id": ADA})


async def test_whatever_writers_do_nothing_readable_is_left_and_nothing_comes_after(
    events, database, monkeypatch
):
    monkeypatch.setattr(redaction, "STEP_EVENTS", 20)
    logged: dict[str, int] = {ADA: 0, BOB: 0}
    refused = asyncio.Event()

    async def write(stub: Stub, subject_id: str) -> None:
        for n in count():
            if subject_id == BOB and refused.is_set() and n > 20:
                return
            try:
                await log_one(stub, person_id=subject_id, content={"text": f"secret {n}"})
            except grpc.aio.AioRpcError as error:
                assert subject_id == ADA
                assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
                refused.set()
                return
            logged[subject_id] += 1

    async with event_service(database) as other:
        writers = [
            asyncio.create_task(write(stub, subject_id))
            for stub in (events, other)
            for subject_id in (ADA, BOB)
            for _ in range(6)
        ]
        while min(logged.values()) < 100:
            await asyncio.sleep(0)
        answers = await asyncio.gather(erase(events, ADA), erase(other, ADA))
        await asyncio.gather(*writers)

    left = await counted(events, ADA)
    assert sum(answer.erased for answer in answers) == logged[ADA] == left.total
    assert left.readable == 0
    assert (await counted(events, BOB)).readable == logged[BOB]
    messages = await listed(events, subject_ids=[ADA], event_types=["erasure", "message"])
    assert [event.event_type for event in messages[:-1]] == ["message"] * logged[ADA]
    assert messages[-1].event_type == "erasure"


async def test_an_append_in_a_transaction_held_open_is_waited_for_and_erased(
    events, admin, database
):
    await log_one(events, person_id=ADA)
    await admin.execute("ALTER FUNCTION event.begin_erasure(text[]) SET lock_timeout = '100ms'")
    held = f"""[[{{"event_id": "{ids.new()}", "person_id": "{ADA}", "event_type": "message",
                   "platform": "discord", "content": {{"text": "secret"}}}}]]"""

    async with administrator(database) as writer, writer.transaction():
        await writer.execute("SELECT event.append_events($1)", held)
        refusal = await refusal_of(erase(events, ADA))
    answer = await erase(events, ADA)

    assert refusal.reason == "STORE_UNAVAILABLE"
    assert answer.erased == 2
    assert (await counted(events, ADA)).readable == 0


# A step that would come to 60 events waits there for whoever holds lock 1.
HALT = """
    CREATE FUNCTION public.halt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.erased >= 60 THEN PERFORM pg_advisory_xact_lock(1); END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER halt BEFORE UPDATE ON event.tombstones
    FOR EACH ROW EXECUTE FUNCTION public.halt()"""


async def test_an_erasure_that_was_cut_off_goes_on_in_another_process(database, admin, monkeypatch):
    monkeypatch.setattr(redaction, "STEP_EVENTS", 10)
    await admin.execute(HALT)
    await admin.execute("SELECT pg_advisory_lock(1)")
    async with event_service(database) as first:
        await log_many(first, 300, person_id=ADA)
        call = asyncio.create_task(erase(first, ADA))
        while not await admin.fetchval(WAITING):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
    halfway = await admin.fetchval("SELECT erased FROM event.tombstones")
    await admin.execute("SELECT pg_advisory_unlock(1)")

    async with event_service(database) as second:
        answer = await erase(second, ADA)
        remains = await counted(second, ADA)

    assert halfway == 50
    # The step that was cut off may have been committed all the same.
    assert answer.erased in (250, 240)
    assert (answer.erased_in_all, remains.readable, remains.total) == (300, 0, 300)


async def test_a_connection_that_dies_in_a_step_loses_none_and_counts_none_twice(
    events, admin, monkeypatch
):
    monkeypatch.setattr(redaction, "STEP_EVENTS", 5)
    await log_many(events, 200, person_id=ADA)

    call = asyncio.create_task(erase(events, ADA))
    for reached in (20, 60, 120):
        while (
            await admin.fetchval("SELECT coalesce(max(erased), 0) FROM event.tombstones") < reached
            and not call.done()
        ):
            await asyncio.sleep(0)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'kith kith_event'"
        )
    await asyncio.wait([call])
    answer = await erase(events, ADA)

    assert answer.erased_in_all == 200
    assert (await counted(events, ADA)).readable == 0


async def test_an_export_holds_every_event_of_the_subjects_oldest_first(events):
    await log_many(events, 700, person_id=ADA)
    await log_many(events, 3, person_id=BOB)
    await log_many(events, 2)
    large = [a_message(person_id=BOB, content={"text": "x" * 200_000}) for _ in range(20)]
    await events.LogEvents(pb.LogEventsRequest(events=large))

    messages = await exported(events, ADA, BOB, ADA)
    rest = await exported(events, ADA, BOB, after=701)

    found = [event.position for message in messages for event in message]
    assert found == [*range(1, 704), *range(706, 726)]
    assert max(sum(event.ByteSize() for event in message) for message in messages) < 1_300_000
    assert [event.position for message in rest for event in message] == found[701:]
    assert await exported(events, ids.new()) == []


async def test_an_export_reads_on_as_its_reader_does(events):
    large = [a_message(person_id=ADA, content={"text": "x" * 250_000}) for _ in range(30)]
    for _ in range(4):
        await events.LogEvents(pb.LogEventsRequest(events=large[:30]))
        for message in large:
            message.event_id = ids.new()

    reading = events.ExportEvents(pb.ExportEventsRequest(subject_ids=[ADA]))
    positions = [event.position for event in (await reading.read()).events]
    await log_many(events, 1, person_id=ADA)
    while (message := await reading.read()) is not grpc.aio.EOF:
        positions += [event.position for event in message.events]

    # The export had not come so far while nobody read.
    assert positions == list(range(1, 122))


async def test_an_export_refuses_a_negative_position(events):
    refusal = await refusal_of(exported(events, ADA, after=-1))

    assert refusal.fields == ["after_position"]


async def test_a_redaction_opens_the_days_of_its_events_and_reads_them_by_their_keys(events, admin):
    for _ in range(3):
        await log_many(events, 1000, person_id=ADA)
    place = await log_one(events, person_id=ADA, content={"text": "secret"})
    await admin.execute(
        "SELECT event.make_partition((now() AT TIME ZONE 'UTC')::date + n)"
        " FROM generate_series(0, 60) n"
    )
    await move_clock(admin, "now() + interval '30 days'")

    async with admin.transaction():
        await admin.execute("SELECT event.redact_events($1, 'test')", [place.event_id])
        opened = await admin.fetchval(
            r"""SELECT count(DISTINCT c.oid) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                WHERE l.pid = pg_backend_pid() AND c.relname ~ '^event_log_\d{8}$'"""
        )
        scanned = await admin.fetchval(
            """SELECT sum(seq_tup_read) FROM pg_stat_xact_user_tables
               WHERE relname LIKE 'event_log%' OR relname = 'event_ids'"""
        )

    assert (opened, scanned) == (2, 0)  # its own day, and the notice's


async def test_a_step_of_an_erasure_reads_the_subjects_events_alone(events, admin, database):
    await log_many(events, 500, person_id=BOB)
    await log_many(events, 500, person_id=BOB)
    await log_many(events, 30, person_id=ADA)

    async with administrator(database) as other:
        await other.execute("SELECT event.begin_erasure($1)", [ADA])

    async with admin.transaction():
        await admin.execute("SELECT event.erase_step($1, 10)", [ADA])
        await admin.execute("SELECT event.erase_step($1, 10)", [ADA])
        read = await admin.fetchrow(
            """SELECT sum(seq_tup_read) AS scanned, sum(idx_tup_fetch) AS fetched
               FROM pg_stat_xact_user_tables
               WHERE relname LIKE 'event_log%' OR relname = 'event_ids'"""
        )

    assert read["scanned"] == 0
    # Ten for each step: found, shredded, and their keys' records.
    assert read["fetched"] <= 60
