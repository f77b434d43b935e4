"""What every LogHistory does, whatever the log is stored in."""

import pytest

from event_svc.adapters import sql_subscriptions
from event_svc.adapters.sql_log import SqlEventStore
from event_svc.adapters.sql_subscriptions import SqlLogHistory
from event_svc.domain.log import BeyondTheLog, EventFilter
from event_svc.domain.subscriptions import LogBounds, PositionExpired
from event_svc.ports.subscriptions import LogHistory
from svckit import ids
from svckit.sql import SqlFunctions
from tests.support.cluster import Database, administrator
from tests.support.events import an_event, logged

ADA = ids.new()


@pytest.fixture
def schema() -> str:
    return "event"


@pytest.fixture
async def history(functions: SqlFunctions) -> LogHistory:
    """A log of 20 events, every fifth Ada's, behind each transport in turn."""
    store = SqlEventStore(functions)
    for n in range(20):
        await logged(store, an_event(**({"person_id": ADA} if n % 5 == 4 else {})))
    return SqlLogHistory(functions)


async def expire(database: Database, position: int) -> None:
    async with administrator(database) as admin:
        await admin.execute(f"DELETE FROM event.event_log WHERE position <= {position}")
        await admin.execute(f"UPDATE event.log_head SET expired_position = {position}")
        # What is left is as if it were another day's.
        await admin.execute(
            f"UPDATE event.partitions SET first_position = {position} + 1 "
            f"WHERE first_position <= {position}"
        )


def positions(stretch) -> list[int]:
    return [event.position for event in stretch.events]


async def test_the_bounds_are_those_of_what_is_kept(history, database):
    before = await history.bounds()
    await expire(database, 3)

    assert (before, await history.bounds()) == (LogBounds(20, 0), LogBounds(20, 3))


async def test_a_stretch_ends_with_its_last_event_or_the_log(history):
    first = await history.read(EventFilter(), after=0, limit=12)
    last = await history.read(EventFilter(), after=12, limit=12)
    nothing = await history.read(EventFilter(), after=20, limit=12)

    assert (positions(first), first.scanned_position, first.at_end) == ([*range(1, 13)], 12, False)
    assert (positions(last), last.scanned_position, last.at_end) == ([*range(13, 21)], 20, True)
    assert (positions(nothing), nothing.scanned_position, nothing.at_end) == ([], 20, True)


async def test_a_filter_looks_past_what_it_does_not_choose(history):
    chosen = EventFilter(subject_ids=[ADA, ADA])
    first = await history.read(chosen, after=5, limit=1)
    rest = await history.read(chosen, after=10, limit=9)

    assert (positions(first), first.scanned_position, first.at_end) == ([10], 10, False)
    assert (positions(rest), rest.scanned_position, rest.at_end) == ([15, 20], 20, True)


async def test_a_filter_that_no_index_serves_looks_at_a_bounded_part(history, monkeypatch):
    monkeypatch.setattr(sql_subscriptions, "MOST_POSITIONS", 8)
    chosen = EventFilter(event_types=["nothing"])

    stretches = [await history.read(chosen, after=after, limit=5) for after in (0, 8, 12, 16)]

    found = [
        (positions(stretch), stretch.scanned_position, stretch.at_end) for stretch in stretches
    ]
    assert found == [([], 8, False), ([], 16, False), ([], 20, True), ([], 20, True)]


async def test_what_retention_took_is_not_passed_over_in_silence(history, database):
    await expire(database, 7)

    with pytest.raises(PositionExpired) as raised:
        await history.read(EventFilter(subject_ids=[ADA]), after=6, limit=5)

    assert raised.value.metadata == {"position": "6", "first_position": "7"}
    assert positions(await history.read(EventFilter(), after=7, limit=3)) == [8, 9, 10]


async def test_a_place_beyond_the_log_is_refused(history):
    with pytest.raises(BeyondTheLog) as raised:
        await history.read(EventFilter(), after=21, limit=5)

    assert [field for field, _ in raised.value.violations] == ["after_position"]
