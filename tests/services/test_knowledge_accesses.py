"""Accesses of memories are counted off the path of answers: together, once, and in bounds."""

from collections.abc import Mapping
from typing import Any

import pytest

from knowledge_svc import accesses
from knowledge_svc.accesses import Accesses
from svckit.errors import Unavailable
from tests.support.knowledge import eventually


class Counts:
    """A store that keeps what it is told, and fails first as often as it should."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.flushes: list[tuple[str, dict[str, int]]] = []

    async def count_accesses(
        self, accesses: Mapping[str, tuple[int, float]], flush_id: str
    ) -> None:
        self.flushes.append((flush_id, {one: count for one, (count, _) in accesses.items()}))
        assert all(seconds >= 0 for _, seconds in accesses.values())
        if self.failures:
            self.failures -= 1
            raise Unavailable("away")


def counted(store: Any, pause_seconds: float) -> Accesses:
    return Accesses(store, pause_seconds=pause_seconds)


async def test_many_reads_are_one_write():
    store = Counts()
    accesses = counted(store, 60)
    for _ in range(100):
        accesses.note(["a", "b"])
    accesses.note(["a"])

    await accesses.drain()

    [(_, counts)] = store.flushes
    assert counts == {"a": 101, "b": 100}


async def test_what_could_not_be_written_is_written_again_under_the_same_name():
    store = Counts(failures=2)
    accesses = counted(store, 0.01)
    accesses.note(["a"])

    async def is_written() -> bool:
        return len(store.flushes) == 3

    await eventually(is_written)
    accesses.note(["a"])
    await accesses.drain()

    assert [counts for _, counts in store.flushes] == [{"a": 1}] * 4
    assert len({name for name, _ in store.flushes[:3]}) == 1
    assert store.flushes[3][0] != store.flushes[0][0]


async def test_draining_gives_up_on_a_store_that_is_away():
    store = Counts(failures=99)
    accesses = counted(store, 60)
    accesses.note(["a"])

    await accesses.drain()

    assert len(store.flushes) == 1


async def test_enough_memories_do_not_wait_and_too_many_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(accesses, "MOST_WRITTEN_AT_ONCE", 10)
    monkeypatch.setattr(accesses, "MOST_WAITING", 25)
    store = Counts()
    counting = counted(store, 60)
    counting.note(f"{n}" for n in range(30))
    counting.note(["0"])

    async def some_are_written() -> bool:
        return bool(store.flushes)

    await eventually(some_are_written)
    await counting.drain()

    written = {one: count for _, counts in store.flushes for one, count in counts.items()}
    assert written == {f"{n}": 1 for n in range(1, 25)} | {"0": 2}
    assert max(len(counts) for _, counts in store.flushes) == 10
