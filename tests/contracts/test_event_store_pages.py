"""What every EventStore does when the log is read, whatever it stores events in."""

import asyncio

import orjson
import pytest

from event_svc.adapters.sql_log import SqlEventStore
from event_svc.domain.log import EventFilter, EventPage
from event_svc.ports.log import EventStore
from svckit import ids
from svckit.sql import SqlFunctions
from tests.support.cluster import WAITING, administrator
from tests.support.events import an_event, logged, move_clock

EVERYTHING = EventFilter()
WAITING_FOR_LOG = f"{WAITING} AND relation = 'event.log_head'::regclass"
ADA, BOB, GROUP, SESSION = (ids.new() for _ in range(4))
DAYS = 12
EACH_DAY = 4


@pytest.fixture
def schema() -> str:
    return "event"


@pytest.fixture
def store(functions: SqlFunctions) -> EventStore:
    """An empty log behind each transport in turn."""
    return SqlEventStore(functions)


@pytest.fixture
async def long_log(store: EventStore, database) -> EventStore:
    """A log of twelve days, one partition each but for every seventh day, when none came.

    Of the four events of a day Ada's are the first and Bob's the second, the third is in the
    group, the last in the session; on the third day, once, Ada was in the group.
    """
    async with administrator(database) as admin:
        for day in range(DAYS):
            await move_clock(admin, f"date_trunc('day', now()) + interval '{day} days 1 hour'")
            if day % 7 == 6:
                continue
            await logged(
                store,
                an_event(link_id=ADA, group_id=GROUP if day == 3 else None, platform="telegram"),
                an_event(person_id=BOB, occurred_at=f"2001-01-{day + 1:02}T00:00:00+00:00"),
                an_event(group_id=GROUP, event_type="join"),
                an_event(session_id=SESSION),
            )
    return store


def positions(page: EventPage) -> list[int]:
    return [event.position for event in page.events]


async def walk(store: EventStore, chosen: EventFilter, size: int, **how: bool) -> list[int]:
    """Every position that pages of a size lead through."""
    found: list[int] = []
    descending = how.get("descending", False)
    while True:
        place = found[-1] if found else None
        page = await store.page(
            chosen,
            after=0 if descending else place or 0,
            before=place if descending else None,
            descending=descending,
            limit=size,
        )
        found += positions(page)
        if not page.more:
            return found


ACTIVE_DAYS = [day for day in range(DAYS) if day % 7 != 6]
ALL = list(range(1, len(ACTIVE_DAYS) * EACH_DAY + 1))
ADAS, BOBS, JOINS, SPOKEN = (ALL[n::EACH_DAY] for n in range(EACH_DAY))


CHOICES = [
    (EVERYTHING, ALL),
    (EventFilter(subject_ids=[ADA]), ADAS),
    (EventFilter(subject_ids=[BOB, ADA, BOB, ids.new()]), sorted(ADAS + BOBS)),
    (EventFilter(subject_ids=[ids.new()]), []),
    (EventFilter(group_id=GROUP), sorted([*JOINS, ADAS[3]])),
    (EventFilter(subject_ids=[ADA], group_id=GROUP), [ADAS[3]]),
    (EventFilter(session_id=SESSION), SPOKEN),
    (EventFilter(event_types=["join", "leave"]), JOINS),
    (EventFilter(platforms=["telegram", "web"], group_id=GROUP), [ADAS[3]]),
    (
        EventFilter(
            occurred_from="2001-01-02T00:00:00+00:00", occurred_to="2001-01-04T00:00:00+00:00"
        ),
        BOBS[1:3],
    ),
]


async def test_pages_of_any_size_hold_what_a_filter_chooses_in_order(long_log):
    for chosen, expected in CHOICES:
        for size in (5, 1000):
            forwards = await walk(long_log, chosen, size)
            backwards = await walk(long_log, chosen, size, descending=True)

            assert (chosen, size, forwards) == (chosen, size, expected)
            assert (chosen, size, backwards) == (chosen, size, expected[::-1])


async def test_only_events_between_two_positions_are_read(long_log):
    for after, before in ((0, 5), (4, 5), (9, 38), (30, 31), (31, 9), (ALL[-1], None)):
        expected = [n for n in ALL if after < n < (before or ALL[-1] + 1)]

        for descending in (False, True):
            page = await long_log.page(
                EVERYTHING, after=after, before=before, descending=descending, limit=1000
            )

            assert positions(page) == (expected[::-1] if descending else expected)
            assert not page.more


async def test_a_page_that_is_full_has_looked_as_far_as_its_last_event(long_log):
    page = await long_log.page(EventFilter(subject_ids=[BOB]), limit=3)

    assert page.more
    assert page.scanned_position == page.events[-1].position == BOBS[2]


async def test_a_page_that_is_the_last_has_looked_as_far_as_the_end_of_the_log(long_log):
    exactly_full = await long_log.page(EventFilter(subject_ids=[BOB]), limit=len(BOBS))
    empty = await long_log.page(EventFilter(subject_ids=[ids.new()]), limit=10)
    beyond = await long_log.page(EVERYTHING, after=ALL[-1] + 1000, limit=10)

    for page in (exactly_full, empty, beyond):
        assert not page.more
        assert page.scanned_position == ALL[-1]
    assert beyond.events == []


async def test_what_is_committed_while_a_page_is_read_is_left_for_the_next(store, database):
    await logged(store, an_event(), an_event())
    late = an_event()
    row = {**late.body, "event_id": late.event_id, "body_hash": late.body_hash}

    async with administrator(database) as admin, admin.transaction():
        # The page's events can be read now, the end of the log cannot.
        await admin.execute("LOCK TABLE event.log_head IN ACCESS EXCLUSIVE MODE")
        reading = asyncio.create_task(store.page(EVERYTHING, limit=10))
        while not await admin.fetchval(WAITING_FOR_LOG):
            await asyncio.sleep(0.01)
        await admin.execute("SELECT event.append_events($1)", orjson.dumps([[row]]).decode())
    page = await reading
    following = await store.page(EVERYTHING, after=page.scanned_position, limit=10)

    assert positions(page) == [1, 2]
    assert page.scanned_position == 2
    assert positions(following) == [3]


async def test_an_empty_log_has_an_end_and_no_events(store):
    for descending in (False, True):
        page = await store.page(EVERYTHING, descending=descending, limit=10)

        assert page == EventPage([], more=False, scanned_position=0)


async def test_a_page_of_large_events_ends_early_and_the_next_goes_on(store):
    text = "x" * 60_000
    for _ in range(4):
        await logged(store, *(an_event(content={"text": text}) for _ in range(20)))

    first = await store.page(EVERYTHING, limit=1000)
    newest = await store.page(EVERYTHING, descending=True, limit=1000)
    whole = await walk(store, EVERYTHING, 1000)

    assert 20 < len(first.events) < 80
    assert first.more
    assert first.scanned_position == first.events[-1].position
    assert positions(newest)[0] == 80
    assert newest.more
    assert whole == list(range(1, 81))


async def test_times_are_in_utc_whatever_the_database_thinks(store, database):
    async with administrator(database) as admin:
        await admin.execute(f"ALTER DATABASE {database.name} SET timezone = 'Pacific/Kiritimati'")
    late = an_event(occurred_at="9999-12-31T23:59:59.999999+00:00")

    [place] = await logged(store, late)

    found = await store.get(late.event_id)
    assert found.occurred_at == late.body["occurred_at"]
    assert (await store.page(EVERYTHING, limit=1)).events == [found]
    assert place.created_at == found.created_at
    assert place.created_at.endswith("+00:00")
