"""How often people are written who were seen, and that nobody waits for it."""

import asyncio
from collections.abc import Sequence

import pytest

from identity_svc import presence
from identity_svc.presence import Presence
from svckit.errors import Unavailable


class Touches:
    """The one method of a store that presence uses; it can be held up, and told to fail."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.ages: dict[str, float] = {}
        self.failure: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def touch(self, person_ids: Sequence[str]) -> dict[str, float]:
        self.calls.append(list(person_ids))
        await self.open.wait()
        if self.failure:
            raise self.failure
        return {person_id: self.ages.get(person_id, 0.0) for person_id in person_ids}


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def touches() -> Touches:
    return Touches()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def people(touches: Touches, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Presence:
    monkeypatch.setattr(presence, "PAUSE_SECONDS", 0.0)
    return Presence(touches, clock=clock)


async def test_who_is_seen_again_and_again_is_written_once_a_minute(people, touches, clock):
    for _ in range(130):
        people.seen(["mia"])
        await people.drain()
        clock.now += 1

    assert touches.calls == [["mia"]] * 3


async def test_who_is_seen_while_being_written_is_not_written_twice(people, touches):
    touches.open.clear()
    people.seen(["mia"])
    await asyncio.sleep(0)

    people.seen(["mia", "max"])
    touches.open.set()
    await people.drain()

    assert touches.calls == [["mia"], ["max"]]


async def test_those_seen_during_a_write_are_written_together(people, touches):
    touches.open.clear()
    people.seen(["first"])
    await asyncio.sleep(0)

    for number in range(1500):
        people.seen([f"id-{number}"])
    touches.open.set()
    await people.drain()

    assert [len(call) for call in touches.calls] == [1, 1000, 500]


async def test_a_record_that_another_process_wrote_is_due_when_it_is_a_minute_old(
    people, touches, clock
):
    touches.ages["mia"] = 45.0
    people.seen(["mia"])
    await people.drain()
    clock.now += 14
    people.seen(["mia"])
    await people.drain()
    assert len(touches.calls) == 1

    clock.now += 1
    people.seen(["mia"])
    await people.drain()

    assert len(touches.calls) == 2


async def test_a_store_that_fails_costs_nothing_but_the_record(people, touches):
    touches.failure = Unavailable("the store cannot be reached")
    people.seen(["mia"])
    await people.drain()

    touches.failure = None
    people.seen(["mia"])
    await people.drain()

    assert touches.calls == [["mia"]] * 2


async def test_memory_is_bounded(people, touches, monkeypatch):
    monkeypatch.setattr(presence, "MOST_WAITING", 10)
    monkeypatch.setattr(presence, "MOST_REMEMBERED", 4)
    touches.open.clear()

    people.seen(str(number) for number in range(1000))
    touches.open.set()
    await people.drain()
    people.seen(["9", "0"])
    await people.drain()

    # "9" is still remembered; "0" is forgotten, which costs one write.
    assert touches.calls == [[str(number) for number in range(10)], ["0"]]
