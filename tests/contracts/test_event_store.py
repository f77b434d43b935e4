"""What every EventStore does when events are appended, whatever it stores them in."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from event_svc.adapters.sql_log import SqlEventStore
from event_svc.domain.log import (
    Append,
    EventFilter,
    EventNotFound,
    IdempotencyConflict,
    LoggedEvent,
)
from event_svc.ports.log import EventStore
from svckit import ids
from svckit.errors import InvalidRequest, Unavailable
from svckit.sql import SqlFunctions
from tests.support.cluster import administrator
from tests.support.events import an_event, be_impatient, logged, move_clock

EVERYTHING = EventFilter()
TOMORROW = "now() + interval '1 day'"


@pytest.fixture
def schema() -> str:
    return "event"


@pytest.fixture
def store(functions: SqlFunctions) -> EventStore:
    """An empty log behind each transport in turn; not even a partition is there."""
    return SqlEventStore(functions)


@pytest.fixture
async def admin(database):
    async with administrator(database) as connection:
        yield connection


async def positions_in(store: EventStore) -> list[int]:
    page = await store.page(EVERYTHING, limit=1000)
    assert not page.more
    return [event.position for event in page.events]


def day_of(moment: str) -> Any:
    return datetime.fromisoformat(moment).date()


async def test_positions_follow_the_order_given_without_gaps(store):
    first = await logged(store, an_event())
    outcomes = await store.append([Append([an_event(), an_event()]), Append([an_event()])])

    assert [event.position for event in first] == [1]
    assert [[event.position for event in outcome] for outcome in outcomes] == [[2, 3], [4]]
    assert not any(event.duplicate for outcome in outcomes for event in outcome)
    assert await positions_in(store) == [1, 2, 3, 4]


async def test_an_event_comes_back_as_it_was_logged(store):
    session_id, group_id, link_id, person_id = (ids.new() for _ in range(4))
    body = {
        "person_id": person_id, "link_id": link_id, "group_id": group_id,
        "session_id": session_id, "session_key": "#général", "event_type": "message",
        "platform": "whatsapp", "occurred_at": "1999-12-31T23:59:59.999999+00:00",
        "content": {"text": "ছাতা \U0001f327", "parts": [1, 2.5, None, True, {"a": []}]},
        "metadata": {"wanted": False},
    }  # fmt: skip
    event = an_event(consent_version=7, **body)

    [place] = await logged(store, event)
    found = await store.get(event.event_id)

    assert place == LoggedEvent(event.event_id, 1, found.created_at, duplicate=False)
    assert {name: getattr(found, name) for name in body} == body
    assert (found.event_id, found.position, found.subject_id, found.consent_version) == (
        event.event_id, 1, link_id, 7
    )  # fmt: skip
    assert (await store.page(EVERYTHING, limit=5)).events == [found]


async def test_the_subject_is_the_link_or_else_the_person_or_else_nobody(store):
    link_id, person_id = ids.new(), ids.new()
    events = [
        an_event(link_id=link_id, person_id=person_id),
        an_event(link_id=link_id),
        an_event(person_id=person_id),
        an_event(),
    ]

    await logged(store, *events)

    found = [await store.get(event.event_id) for event in events]
    assert [event.subject_id for event in found] == [link_id, link_id, person_id, None]
    assert found[1].person_id is None


async def test_what_was_left_out_is_empty_and_happened_when_it_was_logged(store):
    event = an_event()

    await logged(store, event)

    found = await store.get(event.event_id)
    assert found.occurred_at == found.created_at
    assert (found.content, found.metadata, found.consent_version) == ({}, {}, 0)
    assert found.session_id is found.session_key is found.group_id is None


async def test_a_repeat_answers_as_the_first_did_and_writes_nothing(store, admin):
    events = [an_event(), an_event()]
    first = await logged(store, *events)
    head = "SELECT (h, h.xmin, h.ctid)::text FROM event.log_head h"
    before = await admin.fetchval(head)

    again = await logged(store, *events)

    assert again == [replace(event, duplicate=True) for event in first]
    assert await admin.fetchval(head) == before
    assert await positions_in(store) == [1, 2]


async def test_known_ids_do_not_stand_in_the_way_of_new_ones(store):
    known = an_event()
    [first] = await logged(store, known)

    outcome = await logged(store, an_event(), known, an_event())

    assert [event.duplicate for event in outcome] == [False, True, False]
    assert [event.position for event in outcome] == [2, first.position, 3]
    assert await positions_in(store) == [1, 2, 3]


async def test_another_body_under_a_known_id_fails_its_whole_request_and_no_other(store):
    known, also_known, third = an_event(), an_event(), an_event()
    await logged(store, known, also_known, third)
    changed = an_event(known.event_id, content={"text": "something else"})
    left_out = [an_event(), an_event()]

    outcomes = await store.append(
        [
            Append([an_event()]),
            Append([left_out[0], also_known, changed, left_out[1]]),
            Append([an_event(), third]),
        ]
    )

    assert isinstance(outcomes[1], IdempotencyConflict)
    assert outcomes[1].metadata == {"event_id": known.event_id}
    assert [event.position for event in (*outcomes[0], *outcomes[2])] == [4, 5, 3]
    assert await positions_in(store) == [1, 2, 3, 4, 5]
    assert (await store.get(known.event_id)).content == {}
    for event in left_out:
        with pytest.raises(EventNotFound):
            await store.get(event.event_id)
    assert not (await logged(store, *left_out))[0].duplicate


async def test_the_consent_version_is_not_part_of_the_body(store):
    event = an_event(consent_version=1)
    await logged(store, event)

    [again] = await logged(store, replace(event, consent_version=2))

    assert again.duplicate
    assert (await store.get(event.event_id)).consent_version == 1


async def test_a_retry_of_an_erased_event_is_a_duplicate_whatever_it_says(store, admin):
    event = an_event()
    [first] = await logged(store, event)
    await admin.execute("UPDATE event.event_ids SET body_hash = NULL; DELETE FROM event.event_log")

    outcome = await logged(store, an_event(event.event_id, content={"text": "new"}), an_event())

    assert outcome[0] == replace(first, duplicate=True)
    assert await positions_in(store) == [2]


async def test_an_id_that_occurs_twice_in_one_call_is_refused_as_somebodys_data(store):
    known, new = an_event(), an_event()
    await logged(store, known)

    for twice in (known, new):
        with pytest.raises(InvalidRequest):
            await store.append([Append([twice]), Append([an_event(), twice])])

    assert await positions_in(store) == [1]


async def test_a_repeat_on_the_next_day_is_still_a_duplicate(store, admin):
    event = an_event()
    [first] = await logged(store, event)
    await move_clock(admin, TOMORROW)

    again, new = await logged(store, event, an_event())

    assert again == replace(first, duplicate=True)
    assert (new.position, new.duplicate) == (2, False)
    assert day_of(new.created_at) == day_of(first.created_at) + timedelta(days=1)
    assert await admin.fetchval("SELECT count(*) FROM event.event_log") == 2


async def test_a_day_without_a_partition_gets_one_with_its_first_event(store, admin):
    await logged(store, an_event())
    await move_clock(admin, TOMORROW)

    await logged(store, an_event(), an_event())
    await logged(store, an_event())

    rows = await admin.fetch(
        """SELECT p.first_position, p.name = to_char(day, '"event_log_"YYYYMMDD') AS is_named,
                  c.relispartition AND c.relrowsecurity AS is_sound,
                  (SELECT count(*) FROM pg_index i JOIN pg_inherits ON inhrelid = i.indexrelid
                   WHERE i.indrelid = c.oid) AS indexes
           FROM event.partitions p JOIN pg_class c
           ON c.oid = ('event.' || p.name)::regclass ORDER BY day"""
    )
    assert [tuple(row) for row in rows] == [(1, True, True, 4), (2, True, True, 4)]


async def test_repeats_make_no_partition(store, admin):
    event = an_event()
    await logged(store, event)
    await move_clock(admin, TOMORROW)

    await logged(store, event)

    assert await admin.fetchval("SELECT count(*) FROM event.partitions") == 1


async def test_the_logs_time_never_goes_back(store, admin):
    await move_clock(admin, "date_trunc('hour', now()) + interval '2 hours'")
    ahead = (await admin.fetchval("SELECT created_at FROM event.log_head")).isoformat()

    outcome = await logged(store, an_event())
    outcome += await logged(store, an_event())

    assert [event.created_at for event in outcome] == [ahead, ahead]
    assert [event.position for event in outcome] == [1, 2]


async def test_partitions_are_made_ahead_once_however_many_ask(store, admin):
    made = await asyncio.gather(*(store.ensure_partitions(3) for _ in range(5)))
    again = await store.ensure_partitions(3)

    days = await admin.fetch("SELECT day, name FROM event.partitions ORDER BY day")
    today = await admin.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date")
    assert [row["day"] for row in days] == [today + timedelta(days=n) for n in range(4)]
    assert sorted(name for names in made for name in names) == [row["name"] for row in days]
    assert again == []


async def test_racing_appends_of_one_event_log_it_once(store):
    event = an_event()

    outcomes = await asyncio.gather(*(logged(store, event, an_event()) for _ in range(30)))

    assert sorted(outcome[0].duplicate for outcome in outcomes) == [False] + [True] * 29
    assert len({(o[0].position, o[0].created_at) for o in outcomes}) == 1
    assert len(await positions_in(store)) == 31


async def test_whoever_holds_the_log_for_too_long_makes_it_unavailable(store, admin):
    await logged(store, an_event())
    await be_impatient(admin)

    async with admin.transaction():
        await admin.execute("SELECT event.lock_log()")
        with pytest.raises(Unavailable):
            await store.append([Append([an_event()])])
        nobody_waits = await store.page(EVERYTHING, limit=5)
    [after] = await logged(store, an_event())

    assert len(nobody_waits.events) == 1
    assert after.position == 2


async def test_an_unknown_event_is_not_found(store):
    unknown = ids.new()

    with pytest.raises(EventNotFound) as raised:
        await store.get(unknown)

    assert raised.value.metadata == {"event_id": unknown}
