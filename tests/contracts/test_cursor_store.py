"""What every CursorStore does, whatever it stores cursors in."""

import asyncio
import random

import pytest

from event_svc.adapters.sql_log import SqlCursorStore, SqlEventStore
from event_svc.domain.log import BeyondTheLog, CursorNotFound
from event_svc.ports.log import CursorStore
from svckit.sql import SqlFunctions
from tests.support.events import an_event, logged

LOGGED = 20


@pytest.fixture
def schema() -> str:
    return "event"


@pytest.fixture
async def log_end(functions: SqlFunctions) -> int:
    """The position of the last event of a short log."""
    places = await logged(SqlEventStore(functions), *(an_event() for _ in range(LOGGED)))
    return places[-1].position


@pytest.fixture
def store(functions: SqlFunctions) -> CursorStore:
    """Cursors behind each transport in turn; there are none."""
    return SqlCursorStore(functions)


async def test_a_cursor_nobody_saved_is_not_found(store):
    with pytest.raises(CursorNotFound) as raised:
        await store.get("catch-up")

    assert raised.value.metadata == {"name": "catch-up"}


async def test_a_cursor_is_where_it_was_saved(store, log_end):
    await store.save("catch-up", 0)
    at_first = await store.get("catch-up")
    saved = await store.save("catch-up", log_end)

    assert (at_first, saved, await store.get("catch-up")) == (0, log_end, log_end)


async def test_cursors_of_different_names_are_apart(store, log_end):
    await store.save("a", 3)
    await store.save("A", log_end)

    assert (await store.get("a"), await store.get("A")) == (3, log_end)


async def test_a_cursor_never_goes_back(store, log_end):
    await store.save("catch-up", 7)

    answers = [await store.save("catch-up", earlier) for earlier in (6, 0, 7)]

    assert answers == [7, 7, 7]
    assert await store.get("catch-up") == 7


async def test_of_racing_saves_the_latest_position_stays(store, log_end):
    positions = [n % (log_end + 1) for n in range(60)]
    random.Random(7).shuffle(positions)

    answers = await asyncio.gather(*(store.save("catch-up", n) for n in positions))

    assert await store.get("catch-up") == log_end
    assert all(answer >= asked for asked, answer in zip(positions, answers, strict=True))


async def test_a_cursor_beyond_the_log_is_refused_by_field_and_moves_nothing(store, log_end):
    await store.save("catch-up", 7)

    with pytest.raises(BeyondTheLog) as raised:
        await store.save("catch-up", log_end + 1)

    assert [field for field, _ in raised.value.violations] == ["position"]
    assert str(log_end) in raised.value.message
    assert await store.get("catch-up") == 7
