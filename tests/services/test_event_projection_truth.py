"""What projections hold is what the log says, whatever happens and whoever is at it."""

import random

import pytest

from event_svc.adapters.sql_log import SqlEventStore
from event_svc.adapters.sql_projections import SqlProjectionStore
from event_svc.adapters.sql_redaction import SqlRedactionStore
from svckit import ids
from tests.support.cluster import administrator
from tests.support.events import an_event, logged, move_clock
from tests.support.projections import Counted, a_definition, fill, table_of, whole_log
from tests.support.services import store_of


@pytest.fixture
async def functions(database):
    async with store_of(database, "event") as store:
        yield store.functions


@pytest.fixture
def store(functions) -> SqlProjectionStore:
    return SqlProjectionStore(functions)


@pytest.fixture
def events(functions) -> SqlEventStore:
    return SqlEventStore(functions)


@pytest.fixture
def redaction(functions) -> SqlRedactionStore:
    return SqlRedactionStore(functions)


@pytest.fixture
async def admin(database):
    async with administrator(database) as connection:
        yield connection


DEFINITIONS = [
    a_definition("by-key"),
    a_definition("whole", event_types=["edit", "message"], key_path=[]),
    a_definition("deep", value_path=["deep", "n"]),
]


@pytest.mark.parametrize("seed", range(4))
async def test_values_are_what_the_log_says_whatever_happens(store, events, redaction, admin, seed):
    """Random appends, redactions, erasures, definitions and steps, checked on the way."""
    chance = random.Random(seed)
    subjects = [ids.new() for _ in range(4)]
    alive, known = list(subjects), []

    def random_event():
        event = an_event(
            person_id=chance.choice([*alive, None]),
            event_type=chance.choice(["message", "message", "edit", "other"]),
            content=chance.choice([
                {"score": chance.choice([1, 0.1, -2.5, 1e-9, 2**53]), "key": chance.choice("abc")},
                {"score": chance.random(), "key": chance.choice([1, True, None])},
                {"score": "none", "deep": {"n": chance.randrange(9)}, "key": chance.choice("ab")},
            ]),
        )  # fmt: skip
        known.append(event)
        return event

    async def append():
        repeats = chance.sample(known, min(len(known), chance.randrange(3)))
        repeats = [event for event in repeats if event.body["person_id"] in (*alive, None)]
        await logged(events, *repeats, *(random_event() for _ in range(chance.randrange(1, 6))))

    async def redact():
        chosen = chance.sample(known, min(len(known), chance.randrange(1, 8)))
        await redaction.redact([event.event_id for event in chosen], "test")

    async def erase():
        if len(alive) > 2 and chance.random() < 0.5:
            gone = alive.pop(chance.randrange(len(alive)))
            await redaction.begin_erasure([gone])
        await redaction.erase_step(subjects, chance.randrange(1, 5))

    async def define():
        await store.define(chance.choice(DEFINITIONS))

    async def delete():
        await store.delete(chance.choice(DEFINITIONS).name)

    async def step():
        await store.backfill(chance.randrange(1, 9))

    async def next_day():
        await move_clock(admin, "created_at + interval '1 day'")

    async def check():
        log = await whole_log(events)
        for projection in await store.list():
            expected = Counted(projection).table(log)
            found = await table_of(store, projection.definition.name, *alive)
            assert found == {place: row for place, row in expected.items() if place[0] in alive}

    moves = [append] * 8 + [redact] * 4 + [step] * 4 + [erase, define, define, delete, next_day]
    for turn in range(120):
        await chance.choice(moves)()
        if turn % 4 == 0:
            await check()
    while (await redaction.erase_step(subjects, 3)).more:
        pass
    await fill(store)
    await check()

    remains = await redaction.count([gone for gone in subjects if gone not in alive])
    assert (remains.readable, remains.projection_values) == (0, 0)
