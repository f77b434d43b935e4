"""What an append does besides logging, in its own transaction: refusing, counting, telling."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from event_svc.adapters.sql_log import SqlEventStore
from event_svc.domain.log import Append, EventNotFound, IdempotencyConflict, SubjectErased
from event_svc.ports.log import EventStore
from svckit import ids
from svckit.sql import SqlFunctions
from tests.support.cluster import administrator
from tests.support.events import an_event, logged, move_clock

# Records what a projection would be told.
TOLD = """
    CREATE TABLE event.told (first bigint, last bigint, logged_at timestamptz);
    GRANT ALL ON event.told TO PUBLIC;
    CREATE OR REPLACE FUNCTION event.project_appended(
        first_position bigint, last_position bigint, logged_at timestamptz
    ) RETURNS void LANGUAGE sql VOLATILE SET search_path = '' AS $$
        INSERT INTO event.told VALUES ($1, $2, $3)
    $$"""


@pytest.fixture
def schema() -> str:
    return "event"


@pytest.fixture
def store(functions: SqlFunctions) -> EventStore:
    """An empty log behind each transport in turn."""
    return SqlEventStore(functions)


@pytest.fixture
async def admin(database):
    async with administrator(database) as connection:
        yield connection


async def erase(admin: Any, *subjects: str) -> None:
    await admin.execute(
        "INSERT INTO event.tombstones SELECT id, now() FROM unnest($1::uuid[]) id", subjects
    )


async def counts(admin: Any) -> Sequence[tuple[Any, ...]]:
    rows = await admin.fetch(
        """SELECT event_type, platform, count FROM event.event_counts
           ORDER BY hour, event_type, platform"""
    )
    return [tuple(row) for row in rows]


async def test_an_erased_subject_keeps_its_whole_request_out_and_no_other(store, admin):
    person, link = ids.new(), ids.new()
    await erase(admin, person, link)
    left_out = an_event()

    outcomes = await store.append(
        [
            Append([an_event(person_id=ids.new())]),
            Append([left_out, an_event(link_id=ids.new(), person_id=person)]),
            Append([an_event(link_id=link, person_id=ids.new())]),
            Append([an_event()]),
        ]
    )

    assert [type(outcome) for outcome in outcomes] == [list, SubjectErased, SubjectErased, list]
    assert [outcome.metadata["subject_id"] for outcome in outcomes[1:3]] == [person, link]
    assert [outcomes[n][0].position for n in (0, 3)] == [1, 2]
    with pytest.raises(EventNotFound):
        await store.get(left_out.event_id)


async def test_a_retry_of_what_was_logged_before_the_erasure_is_a_duplicate(store, admin):
    person = ids.new()
    known, other = an_event(person_id=person), an_event(person_id=person)
    [first] = await logged(store, known)
    await erase(admin, person)

    again, both = (
        await store.append([Append([known])]),
        await store.append([Append([known, other])]),
    )

    assert [(place.position, place.duplicate) for place in again[0]] == [(first.position, True)]
    assert isinstance(both[0], SubjectErased)


async def test_the_first_thing_wrong_with_a_request_is_what_it_fails_with(store, admin):
    person = ids.new()
    await erase(admin, person)
    known = an_event()
    await logged(store, known)
    changed, erased = an_event(known.event_id, platform="slack"), an_event(person_id=person)

    outcomes = await store.append([Append([an_event(), erased, changed])])
    outcomes += await store.append([Append([an_event(), changed, erased])])

    assert [type(outcome) for outcome in outcomes] == [SubjectErased, IdempotencyConflict]


async def test_new_events_are_counted_by_hour_type_and_platform_and_no_others(store, admin):
    known, changed = an_event(), an_event(event_type="edit")
    await logged(store, known, changed)
    await erase(admin, person := ids.new())

    await store.append(
        [
            Append([known, an_event(), an_event(platform="slack")]),
            Append([an_event(), an_event(changed.event_id, platform="slack")]),
            Append([an_event(person_id=person)]),
        ]
    )
    before = await counts(admin)
    await move_clock(admin, "date_trunc('hour', now()) + interval '1 hour 59 minutes'")
    await logged(store, an_event())

    assert before == [("edit", "discord", 1), ("message", "discord", 2), ("message", "slack", 1)]
    assert await counts(admin) == [*before, ("message", "discord", 1)]
    assert await admin.fetchval(
        """SELECT max(c.hour) = date_trunc('hour', max(e.created_at))
           FROM event.event_counts c, event.event_log e"""
    )


async def test_counts_agree_with_the_log_whatever_races(store, admin):
    shared = [an_event() for _ in range(10)]

    await asyncio.gather(*(logged(store, shared[n % 10], an_event()) for n in range(40)))

    assert await counts(admin) == [("message", "discord", 50)]


async def test_projections_are_told_once_of_each_append_that_wrote_something(store, admin):
    await admin.execute(TOLD)
    known = an_event()
    await logged(store, known, an_event())
    await logged(store, known)
    places = await logged(store, an_event(), known, an_event())

    told = await admin.fetch("SELECT first, last, logged_at FROM event.told ORDER BY first")

    assert [(row["first"], row["last"]) for row in told] == [(1, 2), (3, 4)]
    assert told[1]["logged_at"] == datetime.fromisoformat(places[0].created_at)


async def test_a_projection_that_fails_takes_the_append_with_it(store, admin):
    await admin.execute(TOLD.replace("INSERT INTO event.told VALUES ($1, $2, $3)", "SELECT 1 / 0"))

    with pytest.raises(Exception, match="division by zero"):
        await logged(store, an_event())

    assert await counts(admin) == []
    assert await admin.fetchval("SELECT position FROM event.log_head") == 0


async def test_readers_are_woken_once_for_each_append_that_wrote_something(store, admin):
    woken: list[str] = []
    await admin.add_listener("kith_event_log", lambda *heard: woken.append(heard[-1]))
    known = an_event()

    await store.append([Append([known, an_event()]), Append([an_event()])])
    await logged(store, known)
    await logged(store, an_event())
    await admin.fetchval("SELECT 1")

    assert woken == ["", ""]
