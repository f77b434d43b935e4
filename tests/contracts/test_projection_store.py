"""What every ProjectionStore counts, whatever happens to the log, over both transports."""

from typing import Any

import pytest

from event_svc.adapters.sql_log import SqlEventStore
from event_svc.adapters.sql_projections import SqlProjectionStore
from event_svc.adapters.sql_redaction import SqlRedactionStore
from event_svc.domain.log import Append, EventFilter
from event_svc.domain.projections import (
    ProjectionConflict,
    ProjectionNotFound,
    ProjectionValue,
    TooManyProjections,
    ValueQuery,
)
from svckit import ids
from svckit.sql import SqlFunctions
from tests.support.cluster import administrator
from tests.support.events import an_event, logged, move_clock
from tests.support.projections import (
    a_definition,
    fill,
    values_of,
)

ADA, BOB = sorted(ids.new() for _ in range(2))
TOMORROW = "now() + interval '1 day'"


@pytest.fixture
def schema() -> str:
    return "event"


@pytest.fixture
def store(functions: SqlFunctions) -> SqlProjectionStore:
    return SqlProjectionStore(functions)


@pytest.fixture
def events(functions: SqlFunctions) -> SqlEventStore:
    return SqlEventStore(functions)


@pytest.fixture
def redaction(functions: SqlFunctions) -> SqlRedactionStore:
    return SqlRedactionStore(functions)


@pytest.fixture
async def admin(database):
    async with administrator(database) as connection:
        yield connection


def scored(score: Any, key: Any = "k", subject: str | None = ADA, **changes: Any):
    return an_event(person_id=subject, content={"score": score, "key": key}, **changes)


async def test_a_projection_comes_back_as_it_was_defined(store, events):
    await logged(events, scored(1))
    definition = a_definition(event_types=["mood", "score"], value_path=["a", "b"], key_path=[])

    projection, created = await store.define(definition)
    again, created_again = await store.define(definition)

    assert (created, created_again) == (True, False)
    assert projection == again == await store.get("scores")
    assert projection.definition == definition
    assert (projection.since_position, projection.backfilled_position) == (1, 0)
    assert not projection.is_ready


async def test_on_an_empty_log_a_projection_is_ready_at_once(store):
    projection, _ = await store.define(a_definition())

    assert projection.is_ready
    assert not (await store.backfill(100)).more


async def test_a_name_that_counts_something_else_is_a_conflict(store):
    await store.define(a_definition())

    with pytest.raises(ProjectionConflict) as raised:
        await store.define(a_definition(key_path=["other"]))

    assert raised.value.metadata == {"projection": "scores"}
    assert (await store.get("scores")).definition.key_path == ["key"]


async def test_there_are_64_projections_and_no_more(store, admin):
    await store.define(a_definition("p07"))
    await admin.execute(
        """INSERT INTO event.projections (name, event_types, value_path, key_path,
                                          since_position, backfilled_position, created_at)
           SELECT 'q' || n, '{}', '{}', '{}', 0, 0, now() FROM generate_series(1, 63) n"""
    )

    with pytest.raises(TooManyProjections):
        await store.define(a_definition("one-too-many"))
    _, created = await store.define(a_definition("p07"))
    await store.delete("p07")
    await store.define(a_definition("instead"))

    assert not created
    names = [projection.definition.name for projection in await store.list()]
    assert names == sorted(names)
    assert len(names) == 64


async def test_numbers_count_by_subject_and_key_in_the_append_that_logs_them(store, events):
    await store.define(a_definition())

    await logged(events, scored(1), scored(2.5), scored(10, key="other"), scored(7, subject=BOB))
    [last] = await logged(events, scored(-4, occurred_at="2001-02-03T04:05:06+00:00"))

    assert await values_of(store, "scores", ADA) == [
        ProjectionValue(ADA, "k", 3, -0.5, -0.5 / 3, -4, last.position,
                        "2001-02-03T04:05:06+00:00"),
        ProjectionValue(ADA, "other", 1, 10, 10, 10, 3,
                        (await events.page(EventFilter(), after=2, limit=1)).events[0].occurred_at),
    ]  # fmt: skip
    assert [v.sum for v in await values_of(store, "scores", BOB)] == [7]


async def test_what_is_no_number_has_no_key_or_concerns_nobody_does_not_count(store, events):
    await store.define(a_definition())
    contents: list[dict[str, Any]] = [
        {"score": "7", "key": "k"}, {"score": None, "key": "k"}, {"score": True, "key": "k"},
        {"score": [1], "key": "k"}, {"score": {"n": 1}, "key": "k"}, {"key": "k"}, {"score": 1},
        {"score": 1, "key": None}, {"score": 1, "key": {}}, {"score": 1, "key": ["k"]},
        {"score": 1, "key": "x" * 257},
    ]  # fmt: skip

    await logged(
        events,
        *(an_event(person_id=ADA, content=content) for content in contents),
        scored(1, subject=None),
        scored(1, event_type="other"),
    )

    assert await values_of(store, "scores", ADA) == []


async def test_keys_are_texts_numbers_and_booleans(store, events):
    await store.define(a_definition())
    keys = ["", "x" * 256, "ключ", 1, 1.0, -2.5, True, "true"]

    await logged(events, *(scored(1, key=key) for key in keys))

    found = {value.key: value.count for value in await values_of(store, "scores", ADA)}
    assert found == {"": 1, "x" * 256: 1, "ключ": 1, "1": 2, "-2.5": 1, "true": 2}


async def test_without_a_key_path_there_is_one_key_and_paths_lead_inwards(store, events):
    await store.define(a_definition(value_path=["a", "b", "c"], key_path=[]))

    await logged(
        events,
        an_event(person_id=ADA, content={"a": {"b": {"c": 3}}}),
        an_event(person_id=ADA, content={"a": {"b": 4}}),
        an_event(person_id=ADA, content={"a": {"b": {"c": 5}}}),
    )

    assert [(v.key, v.sum) for v in await values_of(store, "scores", ADA)] == [("", 8)]


async def test_sums_are_exact_however_numbers_come_and_go(store, events, redaction):
    await store.define(a_definition())
    many = [scored(0.1) for _ in range(10)]
    huge, tiny = scored(2**53), scored(5e-324)

    await logged(events, *many, huge, tiny)
    before = await values_of(store, "scores", ADA)
    await redaction.redact([huge.event_id], "test")
    await redaction.redact([event.event_id for event in many], "test")

    assert before[0].sum == 2**53 + 2  # the nearest to just above 2**53 + 1
    [left] = await values_of(store, "scores", ADA)
    assert (left.count, left.sum, left.mean, left.last) == (1, 5e-324, 5e-324, 5e-324)


async def test_a_mean_too_small_for_a_double_is_nothing(store, events):
    await store.define(a_definition())

    await logged(events, scored(5e-324), scored(0), scored(0))

    [value] = await values_of(store, "scores", ADA)
    assert (value.sum, value.mean) == (5e-324, 0)


async def test_duplicates_and_refused_requests_do_not_count(store, events):
    await store.define(a_definition())
    event = scored(5)
    await logged(events, event)

    await logged(events, event, scored(1))
    await events.append([Append([scored(100), an_event(event.event_id, platform="slack")])])

    [value] = await values_of(store, "scores", ADA)
    assert (value.count, value.sum) == (2, 6)


async def test_older_events_are_counted_in_steps_and_newer_ones_at_once(store, events, admin):
    for day in range(3):
        await move_clock(admin, f"now() + interval '{day} days'")
        await logged(events, *(scored(1) for _ in range(4)))
    await store.define(a_definition())
    [newer] = await logged(events, scored(50))

    seen = []
    for _ in range(5):
        [value] = await values_of(store, "scores", ADA)
        assert (value.last, value.last_position) == (50, newer.position)
        seen.append((value.count, (await store.get("scores")).backfilled_position))
        step = await store.backfill(3)

    assert seen == [(1, 0), (4, 3), (7, 6), (10, 9), (13, 12)]
    assert (step.more, step.remaining) == (False, 0)
    assert (await store.get("scores")).is_ready


async def test_a_deleted_projection_is_gone_at_once_and_its_values_soon(store, events, admin):
    await store.define(a_definition())
    await logged(events, *(scored(1, key=f"k{n}") for n in range(10)))

    deleted = [await store.delete("scores"), await store.delete("scores")]
    with pytest.raises(ProjectionNotFound) as raised:
        await store.get("scores")
    with pytest.raises(ProjectionNotFound):
        await values_of(store, "scores", ADA)
    again, created = await store.define(a_definition())
    more = (await store.backfill(4)).more
    await fill(store)

    assert (deleted, created, more, again.since_position) == ([True, False], True, True, 10)
    assert raised.value.metadata == {"projection": "scores"}
    assert len(await values_of(store, "scores", ADA)) == 10
    assert await admin.fetchval("SELECT count(*) FROM event.projection_values") == 10
    assert await admin.fetchval("SELECT count(*) FROM event.projections") == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
async def test_values_come_by_key_then_by_subject_in_pages(store, events, limit):
    await store.define(a_definition())
    both = [("a", ADA), ("a", BOB), ("b", BOB), ("c", ADA), ("d", ADA), ("d", BOB), ("É", ADA)]
    await logged(events, *(scored(1, key=key, subject=subject) for key, subject in both[::-1]))

    found = await values_of(store, "scores", BOB, ADA, limit=limit)
    repeated = await values_of(store, "scores", ADA, BOB, ADA, limit=limit)

    assert [(value.key, value.subject_id) for value in found] == both
    assert repeated == found


@pytest.mark.parametrize("limit", [1, 2, 1000])
async def test_subjects_that_are_one_have_one_value_for_each_key(store, events, limit):
    await store.define(a_definition())
    await logged(events, scored(1, "a"), scored(2, "b"), scored(3, "c"))
    await logged(events, scored(10, "b", BOB), scored(20, "c", BOB), scored(30, "d", BOB))
    await logged(events, scored(4, "c"))

    found = await values_of(store, "scores", ADA, BOB, combine=True, limit=limit)

    rows = [(v.subject_id, v.key, v.count, v.sum, v.mean, v.last, v.last_position) for v in found]
    assert rows == [
        (None, "a", 1, 1, 1, 1, 1),
        (None, "b", 2, 12, 6, 10, 4),
        (None, "c", 3, 27, 9, 4, 7),
        (None, "d", 1, 30, 30, 30, 6),
    ]  # fmt: skip


async def test_a_key_can_be_asked_for(store, events):
    await store.define(a_definition())
    await logged(events, scored(1, "a"), scored(2, "b"))

    found = await store.values(ValueQuery("scores", [ADA], "b", False), after=None, limit=9)
    nothing = await store.values(ValueQuery("scores", [ADA], "", False), after=None, limit=9)

    assert ([value.sum for value in found], nothing) == ([2], [])


async def test_what_is_redacted_leaves_and_the_last_before_it_is_the_last_again(
    store, events, redaction, admin
):
    await store.define(a_definition())
    kept, lost = scored(1), [scored(2), scored(4), scored(8, "other")]
    [place] = await logged(events, kept)
    await move_clock(admin, TOMORROW)
    await logged(events, *lost)

    await redaction.redact([event.event_id for event in lost], "test")

    [value] = await values_of(store, "scores", ADA)
    assert (value.key, value.count, value.sum, value.last) == ("k", 1, 1, 1)
    assert value.last_position == place.position


async def test_where_the_last_is_redacted_and_older_ones_are_dropped_it_is_unknown(
    store, events, redaction, admin
):
    await store.define(a_definition())
    await logged(events, scored(1), scored(2))
    last = scored(4)
    await move_clock(admin, TOMORROW)
    await logged(events, last)
    name = await admin.fetchval(
        "DELETE FROM event.partitions WHERE first_position = 1 RETURNING name"
    )
    await admin.execute(f"DROP TABLE event.{name}; UPDATE event.log_head SET expired_position = 2")

    await redaction.redact([last.event_id], "test")
    [value] = await values_of(store, "scores", ADA)
    await logged(events, scored(8))
    [then] = await values_of(store, "scores", ADA)

    assert (value.count, value.sum, value.last, value.last_position) == (2, 3, None, 0)
    assert value.last_occurred_at is None
    assert (then.count, then.sum, then.last) == (3, 11, 8)


async def test_what_retention_has_dropped_is_not_waited_for(store, events, admin):
    await logged(events, scored(1), scored(2))
    await move_clock(admin, TOMORROW)
    await logged(events, scored(4))
    name = await admin.fetchval(
        "DELETE FROM event.partitions WHERE first_position = 1 RETURNING name"
    )
    await admin.execute(f"DROP TABLE event.{name}; UPDATE event.log_head SET expired_position = 2")

    projection, _ = await store.define(a_definition())
    step = await store.backfill(1)

    assert (projection.since_position, projection.backfilled_position) == (3, 2)
    assert not step.more
    assert [value.sum for value in await values_of(store, "scores", ADA)] == [4]
