"""A page looks at a bounded part of the log, and pages lead through all of it nevertheless."""

import itertools
from typing import Any

import pytest

from event_svc.adapters.sql_log import SqlEventStore
from event_svc.domain.log import EventFilter, EventPage
from event_svc.ports.log import EventStore
from svckit import ids
from svckit.sql import SqlFunctions
from tests.support.cluster import administrator
from tests.support.event_days import fill_days

ADA, BOB, RARE = (ids.new() for _ in range(3))
FIRST_DAY = "date '2024-01-01'"
MOST_LOOKED = 10_000
MOST_DAYS = 128


@pytest.fixture
def schema() -> str:
    return "event"


@pytest.fixture
def store(functions: SqlFunctions) -> EventStore:
    return SqlEventStore(functions)


@pytest.fixture
async def admin(database):
    async with administrator(database) as connection:
        yield connection


async def pages(
    store: EventStore, chosen: EventFilter, *, descending: bool, limit: int = 100
) -> list[EventPage]:
    """All pages of a filter; each begins where the one before has looked up to."""
    found: list[EventPage] = []
    how: dict[str, Any] = {}
    while not found or found[-1].more:
        page = await store.page(chosen, descending=descending, limit=limit, **how)
        how = {"before" if descending else "after": page.scanned_position}
        found.append(page)
    return found


def positions(found: list[EventPage]) -> list[int]:
    return [event.position for page in found for event in page.events]


async def test_a_filter_that_chooses_little_looks_at_so_many_rows_and_goes_on(store, admin):
    await fill_days(
        admin, FIRST_DAY, 3, MOST_LOOKED,
        subject_id=f"CASE WHEN n % 2 = 0 THEN '{ADA}'::uuid ELSE '{BOB}'::uuid END",
        event_type="CASE WHEN (d, n) IN ((0, 7), (0, 8), (2, 9000)) THEN 'rare' ELSE 'message' END",
    )  # fmt: skip
    rare = [7, 8, 2 * MOST_LOOKED + 9000]

    for chosen, expected in (
        (EventFilter(event_types=["rare"]), rare),
        (EventFilter(event_types=["rare"], subject_ids=[ADA]), rare[1:]),
        (EventFilter(event_types=["rare"], subject_ids=[ADA, BOB]), rare),
        (EventFilter(platforms=["slack"]), []),
        (EventFilter(occurred_to="2024-01-01T00:00:00+00:00"), []),
    ):
        for descending in (False, True):
            found = await pages(store, chosen, descending=descending)

            assert positions(found) == (expected[::-1] if descending else expected)
            assert len(found) > 1
            places = [page.scanned_position for page in found]
            assert places == sorted(places, reverse=descending)
            for before, after in itertools.pairwise(places):
                assert abs(after - before) <= 2 * MOST_LOOKED + 1
            assert places[-1] == (0 if descending else 3 * MOST_LOOKED)


async def test_a_page_that_is_not_full_opens_so_many_partitions_and_goes_on(store, admin):
    days = 2 * MOST_DAYS + 10
    await fill_days(
        admin, FIRST_DAY, days, 1,
        subject_id=f"CASE WHEN d IN (3, 250) THEN '{RARE}'::uuid END",
    )  # fmt: skip
    chosen = EventFilter(subject_ids=[RARE])

    forwards = await pages(store, chosen, descending=False)
    backwards = await pages(store, chosen, descending=True)

    assert positions(forwards) == [4, 251]
    assert positions(backwards) == [251, 4]
    assert [page.scanned_position for page in forwards] == [MOST_DAYS, 2 * MOST_DAYS, days]
    assert [page.scanned_position for page in backwards] == [
        days - MOST_DAYS + 1, days - 2 * MOST_DAYS + 1, 0
    ]  # fmt: skip


async def test_many_subjects_share_what_may_be_looked_at(store, admin):
    await fill_days(admin, FIRST_DAY, 50, 4, subject_id=f"'{ADA}'::uuid")
    strangers = [ids.new() for _ in range(999)]

    found = await pages(store, EventFilter(subject_ids=[*strangers, ADA]), descending=True)

    assert positions(found) == list(range(200, 0, -1))
    assert len(found) > 2


async def test_without_a_filter_no_page_is_short(store, admin):
    await fill_days(admin, FIRST_DAY, 3, 400)

    found = await pages(store, EventFilter(), descending=False, limit=500)

    assert [len(page.events) for page in found] == [500, 500, 200]


async def test_what_is_closed_changes_no_page(store, admin):
    await fill_days(
        admin, FIRST_DAY, 12, 10,
        event_type="CASE WHEN d % 3 = 0 AND n = 1 THEN 'join' ELSE 'message' END",
        platform="CASE WHEN d % 4 = 0 THEN 'slack' ELSE 'discord' END",
        # One that comes late, from long ago.
        occurred_at="CASE WHEN d = 9 AND n = 5 THEN '2001-01-01Z' ELSE created_at END",
    )  # fmt: skip
    choices = [
        EventFilter(event_types=["join"]),
        EventFilter(platforms=["slack"]),
        EventFilter(event_types=["join", "leave"], platforms=["slack"]),
        EventFilter(occurred_to="2024-01-03T05:00:00+00:00"),
        EventFilter(
            occurred_from="2024-01-05T05:00:00+00:00", occurred_to="2024-01-06T00:00:00+00:00"
        ),
        EventFilter(occurred_from="2024-01-12T05:00:00+00:00"),
    ]

    async def all_pages() -> list[list[int]]:
        return [
            positions(await pages(store, chosen, descending=descending, limit=7))
            for chosen in choices
            for descending in (False, True)
        ]

    before = await all_pages()
    await admin.execute("SELECT event.close_days(100)")
    after = await all_pages()

    assert before == after
    assert [len(found) for found in before[::2]] == [4, 30, 1, 23, 8, 8]
    assert 95 in before[6]
