"""All faults at once, at random places, while writers store, change, delete and upload.

The census tells of all that was broken and of nothing that lives; the repair mends it, and no
vector or file of anything live is gone afterwards.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest

from svckit import ids
from tests.support.cluster import Database
from tests.support.integrity import World, a_world, hosting
from tests.support.knowledge import eventually

ITEMS, DOCUMENTS = 420, 40
OF_EACH = 12


@pytest.fixture(params=["pgvector", pytest.param("pinecone", marks=pytest.mark.system)])
async def world(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with hosting(request.param), a_world(database, request.param) as world:
        yield world


class Writers:
    """Store, change, delete and upload for as long as they may."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._dice = random.Random(seed)
        self._items: list[str] = []
        # Each with the caller's key.
        self._documents: list[tuple[str, str]] = []
        self.turns = Counter[str]()

    async def store(self) -> None:
        owner = ids.new()
        texts = [f"note {ids.new()}" for _ in range(self._dice.randint(1, 20))]
        self._items += await self._world.store(*texts, subject_id=owner)

    async def replace(self) -> None:
        if self._items:
            chosen = self._dice.choice(self._items)
            await self._world.replace(chosen, f"changed {ids.new()}")

    async def delete(self) -> None:
        if self._items:
            await self._world.delete(self._items.pop(self._dice.randrange(len(self._items))))

    async def upload(self) -> None:
        await self._upload(ids.new())

    async def revise(self) -> None:
        if self._documents:
            _, key = self._dice.choice(self._documents)
            await self._upload(key)

    async def _upload(self, key: str) -> None:
        pieces = [f"page {ids.new()}" for _ in range(self._dice.randint(1, 5))]
        self._documents.append((await self._world.upload(*pieces, key=key), key))

    async def read_anew(self) -> None:
        if chosen := self._taken():
            await self._world.read_anew(chosen[0])
            self._documents.append(chosen)

    async def withdraw(self) -> None:
        if chosen := self._taken():
            await self._world.withdraw(chosen[0])

    def _taken(self) -> tuple[str, str] | None:
        some = self._documents
        return some.pop(self._dice.randrange(len(some))) if some else None

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Each kind of writer takes turn after turn, until the block ends."""
        stop = asyncio.Event()
        kinds = [
            self.store, self.replace, self.delete, self.upload, self.revise, self.read_anew,
            self.withdraw,
        ]  # fmt: skip
        tasks = [asyncio.create_task(self._turns(kind, stop)) for kind in kinds]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def _turns(self, kind: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        while not stop.is_set():
            await kind()
            self.turns[kind.__name__] += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._dice.uniform(0.005, 0.03))


class Breakage:
    """Faults of every class at random places, among what nobody else writes."""

    def __init__(self, world: World, items: list[str], documents: list[str], seed: int) -> None:
        self._world = world
        dice = random.Random(seed)
        self._items = dice.sample(items, len(items))
        self._documents = dice.sample(documents, len(documents))
        # What a census is to tell; documents are told of without their keys.
        self.expected = Counter[tuple[str, str]]()
        self.strangers: list[str] = []

    def _take(self, kind: str, some: list[str], count: int) -> list[str]:
        taken = [some.pop() for _ in range(count)]
        self.expected.update((kind, one) for one in taken)
        return taken

    async def break_vectors(self) -> None:
        world = self._world
        await world.lose_vectors(self._take("VECTOR_MISSING", self._items, OF_EACH))
        wrong = self._take("VECTOR_WRONG", self._items, OF_EACH)
        await asyncio.gather(
            *(
                world.overwrite_vectors(
                    [held.knowledge_id], occurred_at=held.occurred_at,
                    content_hash=held.content_hash, namespace="elsewhere",
                )
                for held in await world.index.fetch(world.space.name, wrong)
            )
        )  # fmt: skip
        self.strangers = [ids.new() for _ in range(OF_EACH)]
        self.expected.update(("VECTOR_ORPHANED", one) for one in self.strangers)
        await world.plant_vectors(self.strangers)
        deleted = [self._items.pop() for _ in range(OF_EACH)]
        await asyncio.gather(*map(world.delete, deleted))
        for one in deleted:
            await eventually(partial(world.is_forgotten, one))
        self.expected.update(("VECTOR_ORPHANED", one) for one in deleted)
        await world.plant_vectors(deleted)

    async def break_rows(self) -> None:
        for kind, statement in (
            (
                "VECTOR_STALE",
                "UPDATE knowledge.knowledge_items SET content = content || '!', "
                "revision = nextval('knowledge.revisions') WHERE knowledge_id = ANY ($1::uuid[])",
            ),
            (
                "MODEL_WRONG",
                "UPDATE knowledge.index_states SET embedding_model = 'other-1' "
                "WHERE knowledge_id = ANY ($1::uuid[])",
            ),
            (
                "STUCK_PENDING",
                "UPDATE knowledge.index_states SET state = 'pending', lease_owner = 'dead', "
                "pending_since = now() - interval '1 hour', "
                "next_attempt_at = now() + interval '1 day' WHERE knowledge_id = ANY ($1::uuid[])",
            ),
            (
                "FAILED",
                "UPDATE knowledge.index_states SET state = 'failed', last_error = 'no' "
                "WHERE knowledge_id = ANY ($1::uuid[])",
            ),
            (
                "STUCK_DELETING",
                "WITH gone AS (UPDATE knowledge.knowledge_items "
                "SET deleted_at = now() - interval '1 hour' "
                "WHERE knowledge_id = ANY ($1::uuid[]) RETURNING knowledge_id) "
                "UPDATE knowledge.index_states s SET state = 'deleting', lease_owner = 'dead', "
                "next_attempt_at = now() + interval '1 day' FROM gone "
                "WHERE s.knowledge_id = gone.knowledge_id",
            ),
        ):
            await self._world.sql(statement, self._take(kind, self._items, OF_EACH))

    async def break_documents(self) -> None:
        world = self._world
        for one in self._take("FILE_MISSING", self._documents, 5):
            world.path(await world.key(one)).unlink()
        for one in self._take("FILE_CORRUPT", self._documents, 5):
            path = world.path(await world.key(one))
            path.write_bytes(b"?" + path.read_bytes()[1:])
        for one in self._take("CHUNKS_INCOMPLETE", self._documents, 5):
            piece = (await world.pieces(one))[0]
            await world.lose_vectors([piece])
            await world.sql("DELETE FROM knowledge.knowledge_items WHERE knowledge_id = $1", piece)
        await world.sql(
            "UPDATE knowledge.documents SET state = 'running', lease_owner = 'dead', "
            "changed_at = now() - interval '1 hour', next_attempt_at = now() + interval '1 day' "
            "WHERE document_id = ANY ($1::uuid[])",
            self._take("STUCK_PENDING", self._documents, 5),
        )
        for _ in range(5):
            key = f"handbooks/nobody/{ids.new()}/text.txt"
            await world.put(key, b"whose?", age_seconds=3600)
            self.expected[("FILE_ORPHANED", key)] += 1


async def settled(world: World) -> None:
    await world.read_texts()
    await world.indexed()


async def test_what_is_broken_is_told_and_mended_and_what_lives_is_left_alone(world: World):
    items = await world.store(*(f"fact {n} {ids.new()}" for n in range(ITEMS)))
    documents = [await world.upload(f"part {n}", "more", "end") for n in range(DOCUMENTS)]
    await world.indexed()
    seed = random.randrange(2**32)
    print("seed", seed)
    breakage, writers = Breakage(world, items, documents, seed), Writers(world, seed)
    async with writers.at_work():
        await breakage.break_vectors()
        await breakage.break_rows()
        await breakage.break_documents()

        verified = await world.verify()
        repaired = await world.repair()
        await world.age_suspects()
        again = await world.repair()

    assert verified.told == breakage.expected
    assert repaired.told == breakage.expected
    left = {one for one, action in repaired.done.items() if action == "LEFT"}
    assert left == {*breakage.strangers}
    assert again.done == dict.fromkeys(breakage.strangers, "VECTOR_DELETED")
    assert min(writers.turns.values()) > 3

    await settled(world)
    assert (await world.verify()).told == Counter()
    await nothing_live_is_gone(world, breakage)


async def nothing_live_is_gone(world: World, breakage: Breakage) -> None:
    """Each live item has its vector and each live document its file, as it came; no others."""
    assert await world.vector_ids() == await world.live_ids()
    broken = {
        await world.key(one)
        for kind, one in breakage.expected
        if kind in ("FILE_MISSING", "FILE_CORRUPT")
    }
    lost = {await world.key(one) for kind, one in breakage.expected if kind == "FILE_MISSING"}
    assert await world.keys() == {*world.files} - lost
    for key, content in world.files.items():
        if key not in broken:
            assert world.path(key).read_bytes() == content


async def test_a_census_among_writers_alone_finds_nothing(world: World):
    writers = Writers(world, 1)
    told = Counter[tuple[str, str]]()
    async with writers.at_work():
        for _ in range(5):
            told += (await world.verify()).told
            told += (await world.repair()).told

    assert told == Counter()
    await settled(world)
    assert await world.vector_ids() == await world.live_ids()
    assert await world.keys() == {*world.files}
