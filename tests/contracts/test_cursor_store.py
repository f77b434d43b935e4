"""What every CursorStore does, whatever it stores cursors in."""

import asyncio
import random

import pytest

from event_svc.adapters.sql_cursors import SqlCursorStore
from event_svc.adapters.sql_log import SqlEventStore
from event_svc.domain.cursors import CursorHeld, CursorNotFound, LeaseLost
from event_svc.domain.log import BeyondTheLog
from event_svc.ports.cursors import CursorStore
from svckit.sql import SqlFunctions
from tests.support.cluster import Database, administrator
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


async def lapse(database: Database) -> None:
    """Let the time of every lease have run out."""
    async with administrator(database) as admin:
        await admin.execute("UPDATE event.cursors SET expires_at = now() - interval '1 second'")


async def test_who_holds_a_cursor_saves_and_others_do_not(store, log_end):
    lease = await store.acquire("catch-up", "a", 30)

    saved = await store.save("catch-up", 5, lease.fencing_token)
    for token in (0, lease.fencing_token + 1, lease.fencing_token - 1):
        with pytest.raises(LeaseLost) as raised:
            await store.save("catch-up", 7, token)

    assert raised.value.metadata == {"name": "catch-up"}
    assert (saved, await store.get("catch-up")) == (5, 5)


async def test_a_cursor_that_is_held_is_not_to_be_had(store):
    await store.acquire("catch-up", "a", 30)

    with pytest.raises(CursorHeld) as raised:
        await store.acquire("catch-up", "b", 30)

    assert raised.value.metadata == {"name": "catch-up"}
    assert 25 < raised.value.retry_after <= 30
    assert (await store.acquire("another", "b", 30)).fencing_token == 1


async def test_holding_a_cursor_is_not_saving_it(store):
    lease = await store.acquire("catch-up", "a", 30)

    assert (lease.fencing_token, lease.position) == (1, 0)
    with pytest.raises(CursorNotFound):
        await store.get("catch-up")


async def test_who_holds_a_cursor_prolongs_it_under_the_same_token(store, log_end):
    first = await store.acquire("catch-up", "a", 1)
    await store.save("catch-up", 3, first.fencing_token)
    second = await store.acquire("catch-up", "a", 60)

    assert (second.fencing_token, second.position) == (first.fencing_token, 3)
    assert second.expires_at > first.expires_at


async def test_who_was_late_goes_on_if_nobody_came(store, log_end, database):
    first = await store.acquire("catch-up", "a", 30)
    await lapse(database)

    late = await store.save("catch-up", 4, first.fencing_token)
    again = await store.acquire("catch-up", "a", 30)

    assert late == 4
    assert again.fencing_token == first.fencing_token


async def test_who_lost_a_cursor_saves_nothing_also_while_nobody_holds_it(store, log_end, database):
    lost = await store.acquire("catch-up", "a", 30)
    await lapse(database)
    taken = await store.acquire("catch-up", "b", 30)

    for step in ("held by b", "b is late", "given back by b"):
        if step == "b is late":
            await lapse(database)
        elif step == "given back by b":
            assert await store.release("catch-up", taken.fencing_token)
        with pytest.raises(LeaseLost):
            await store.save("catch-up", 9, lost.fencing_token)

    assert taken.fencing_token > lost.fencing_token
    assert await store.save("catch-up", 2) == 2


async def test_a_cursor_that_was_given_back_is_free_at_once(store, log_end):
    first = await store.acquire("catch-up", "a", 30)

    given_back = [await store.release("catch-up", first.fencing_token) for _ in range(2)]
    # Nobody came in between.
    assert await store.save("catch-up", 1, first.fencing_token) == 1
    second = await store.acquire("catch-up", "b", 30)
    too_late = await store.release("catch-up", first.fencing_token)

    assert (given_back, too_late) == ([True, False], False)
    assert second.fencing_token > first.fencing_token
    assert await store.save("catch-up", 2, second.fencing_token) == 2


async def test_a_released_cursor_is_a_new_one_for_its_owner_too(store):
    first = await store.acquire("catch-up", "a", 30)
    await store.release("catch-up", first.fencing_token)

    assert (await store.acquire("catch-up", "a", 30)).fencing_token > first.fencing_token


async def test_of_racing_owners_one_holds_the_cursor_and_each_token_is_larger(store, database):
    tokens = []
    for _ in range(3):
        outcomes = await asyncio.gather(
            *(store.acquire("catch-up", f"owner-{n}", 30) for n in range(12)),
            return_exceptions=True,
        )
        [held] = [outcome for outcome in outcomes if not isinstance(outcome, CursorHeld)]
        tokens.append(held.fencing_token)
        await lapse(database)

    # The owner before may be the first again, and keeps its token then.
    assert tokens == sorted(tokens)


async def test_saves_that_race_with_a_new_owner_stand_before_it_or_fail(store, log_end, database):
    old = await store.acquire("catch-up", "a", 30)
    await lapse(database)
    saves = [store.save("catch-up", n, old.fencing_token) for n in range(1, 16)]

    *outcomes, taken = await asyncio.gather(
        *saves[:8], *saves[8:], store.acquire("catch-up", "b", 30), return_exceptions=True
    )

    saved = max([out for out in outcomes if isinstance(out, int)], default=0)
    assert all(isinstance(out, int | LeaseLost) for out in outcomes)
    # What was saved before the new owner came it has seen, and nothing is saved after.
    assert taken.position == saved
    assert (await store.acquire("catch-up", "b", 30)).position == saved
