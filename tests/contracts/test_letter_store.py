"""What every LetterStore does, over each transport."""

import pytest

from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.adapters.sql_letters import SqlLetterStore
from knowledge_svc.domain.items import Failure, Space, Write
from knowledge_svc.domain.letters import LetterPlace
from svckit import ids, sql
from tests.support.knowledge import an_entry


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
def letters(functions: sql.SqlFunctions) -> SqlLetterStore:
    """The letters over each transport in turn."""
    return SqlLetterStore(functions)


@pytest.fixture
def queue(functions: sql.SqlFunctions) -> SqlIndexQueue:
    """The queue whose dead letters they are."""
    return SqlIndexQueue(functions)


@pytest.fixture
async def dead(functions: sql.SqlFunctions, queue: SqlIndexQueue) -> list[str]:
    """Five items that were given up one after the other, two of them notes."""
    await queue.ensure_space(Space("first", "model a", 8, "whole-1"))
    names = []
    for n in range(5):
        entry = an_entry(f"dead {n}", namespace="notes" if n % 2 else "default")
        await SqlItemStore(functions).store([entry])
        [task] = await queue.claim("me", "pending", most=9, most_bytes=9, lease_seconds=9)
        await queue.put_off([Failure(task, 5, 0.0, True, f"error {n}")], owner="me")
        names.append(entry.item.knowledge_id)
    return names


async def test_letters_come_last_given_up_first_in_pages(letters, dead):
    first = await letters.letters(None, before=None, limit=3)
    last = first.letters[-1]
    rest = await letters.letters(
        None, before=LetterPlace(last.failed_at, last.knowledge_id), limit=3
    )

    assert [letter.knowledge_id for letter in (*first.letters, *rest.letters)] == dead[::-1]
    assert first.total == rest.total == 5
    letter = first.letters[0]
    assert (letter.error, letter.attempts, letter.namespace) == ("error 4", 5, "default")
    assert letter.failed_at >= letter.pending_since


async def test_letters_can_be_those_of_some_shelves(letters, dead):
    found = await letters.letters(["notes"], before=None, limit=9)

    assert [letter.knowledge_id for letter in found.letters] == [dead[3], dead[1]]
    assert found.total == 2
    assert (await letters.letters(["none"], before=None, limit=9)).total == 0


async def test_what_is_replayed_waits_again_with_all_its_tries(letters, queue, dead):
    replayed = await letters.replay([dead[1], dead[3], ids.new()])
    again = await letters.replay([dead[1]])

    tasks = await queue.claim("me", "pending", most=9, most_bytes=999, lease_seconds=9)
    assert (replayed, again) == (2, 0)
    assert {(task.knowledge_id, task.attempts) for task in tasks} == {(dead[1], 0), (dead[3], 0)}
    assert (await queue.backlog()).dead_letters == 3


async def test_all_can_be_replayed_at_once(letters, queue, dead):
    assert await letters.replay_all() == 5
    assert await letters.replay_all() == 0
    assert (await queue.backlog()).rows == 5


async def test_only_what_was_given_up_is_replayed(letters, queue, functions):
    entry = an_entry("fine")
    [stored] = await SqlItemStore(functions).store([entry])
    await queue.mark_indexed([Write(stored.knowledge_id, stored.revision)], "m", owner="me")

    assert await letters.replay([stored.knowledge_id]) == 0
    assert await letters.replay_all() == 0
