"""What every MemoryStore does, over each transport."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.adapters.sql_memories import SqlMemoryStore
from knowledge_svc.domain.items import Filter, SubjectErased, Write
from knowledge_svc.domain.memories import (
    Forgetting,
    Memory,
    MemoryFilter,
    MemoryPlace,
    NewMemory,
    Sorting,
    Upsert,
    Upserted,
    content_of,
    memory_id,
)
from knowledge_svc.ports.items import ItemStore
from knowledge_svc.ports.memories import MemoryStore
from svckit import ids, sql
from tests.support.cluster import Database
from tests.support.knowledge import as_administrator
from tests.support.memories import ADA, BOB, EVE, a_new_memory, tried
from tests.support.spaces import claim, mark

ALL = MemoryFilter()


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
def memories(functions: sql.SqlFunctions) -> MemoryStore:
    """An empty store over each transport in turn."""
    return SqlMemoryStore(functions)


@pytest.fixture
def items(functions: sql.SqlFunctions) -> ItemStore:
    """Where the items are."""
    return SqlItemStore(functions)


async def put(
    memories: MemoryStore, *new: NewMemory, person_id: str = ADA, **changes: Any
) -> Sequence[Upserted]:
    [done] = await tried(memories, Upsert(person_id, new or [a_new_memory()], **changes))
    assert not isinstance(done, BaseException)
    return done  # type: ignore[no-any-return]


async def history(memories: MemoryStore, key: str = "food", person_id: str = ADA):
    return await memories.versions(memory_id(person_id, key), before=None, limit=500)


async def test_a_memory_comes_back_as_it_was_given(memories, items):
    event, told = ids.new(), "2026-03-01T09:30:00.123456+00:00"
    new = a_new_memory(
        "fav/food 🍜%", "ramen 'n' \\ more", category="taste", importance=0.75,
        metadata={"n": 1, "key": "theirs", "deep": {"a": [1.5, None]}}, source_event_id=event,
        occurred_at=told,
    )  # fmt: skip

    [done] = await put(memories, new)
    [read] = await memories.get([ADA], new.key)

    assert done.changed
    assert done.memory == read
    assert (read.memory_id, read.person_id, read.version) == (memory_id(ADA, new.key), ADA, 1)
    for name in ("key", "value", "category", "importance", "metadata", "source_event_id"):
        assert getattr(read, name) == getattr(new, name)
    assert read.created_at == read.updated_at
    assert (read.access_count, read.last_accessed_at, read.shadowed_by) == (0, None, None)
    item = await items.get(read.knowledge_id)
    assert (item.namespace, item.content) == ("memories", f"{new.key}: {new.value}")
    assert (item.subject_id, item.person_id, item.memory_id) == (ADA, ADA, read.memory_id)
    assert (item.source_event_id, item.revision) == (event, done.revision)
    assert item.metadata == {
        "n": 1, "deep": {"a": [1.5, None]}, "key": new.key, "category": "taste",
        "importance": 0.75,
    }  # fmt: skip


async def test_what_is_there_already_changes_nothing(memories):
    [first] = await put(memories, a_new_memory(metadata={"n": 1}))

    [again] = await put(
        memories, a_new_memory(metadata={"n": 1.0}, source_event_id=ids.new(), importance=0.5)
    )

    assert (again.changed, again.revision) == (False, first.revision)
    assert again.memory == first.memory


@pytest.mark.parametrize(
    "change",
    [{"value": "pho"}, {"category": "taste"}, {"importance": 0.9}, {"metadata": {"n": 1}}],
    ids=lambda change: next(iter(change)),
)
async def test_anything_else_is_a_new_version_of_memory_and_item(
    memories, items, functions, change: dict[str, Any]
):
    [first], event = await put(memories), ids.new()
    write = Write(first.memory.knowledge_id, first.revision)
    await mark(SqlIndexQueue(functions), "m", write)
    [second] = await put(memories, NewMemory(
        **{"key": "food", "value": "ramen", "source_event_id": event, **change}
    ))  # fmt: skip

    assert second.changed
    assert (second.memory.version, second.memory.created_at) == (2, first.memory.created_at)
    assert second.memory.updated_at > first.memory.updated_at
    item = await items.get(first.memory.knowledge_id)
    assert (item.revision, item.index_state) == (second.revision, "pending")
    assert second.revision > first.revision
    assert item.source_event_id == event
    assert item.content == content_of("food", second.memory.value)
    assert item.metadata["importance"] == second.memory.importance
    newest, oldest = await history(memories)
    assert (newest.version, newest.value) == (2, second.memory.value)
    assert (oldest.version, oldest.value, oldest.knowledge_id) == (1, "ramen", None)


async def test_importance_that_is_not_given_stays(memories):
    [first] = await put(memories)
    await put(memories, a_new_memory(importance=1.0))

    [later] = await put(memories, a_new_memory(value="pho"))

    assert (first.memory.importance, later.memory.importance) == (0.5, 1.0)


async def test_a_call_that_is_repeated_answers_what_it_did(memories):
    request = Upsert(ADA, [a_new_memory(), a_new_memory("drink", "tea")])
    await put(memories, a_new_memory("drink", "tea"))

    first = await tried(memories, request)
    again = await tried(memories, request)

    assert [(one.changed, one.revision) for one in again[0]] == [
        (one.changed, one.revision) for one in first[0]
    ]
    assert [one.changed for one in first[0]] == [True, False]
    assert len(await history(memories)) == 1


async def test_requests_of_one_batch_are_strangers(memories, database: Database):
    async with as_administrator(database) as admin:
        await admin.execute("INSERT INTO knowledge.erased_subjects (subject_id) VALUES ($1)", EVE)

    ada, eve, bob = await tried(
        memories, Upsert(ADA, [a_new_memory()]), Upsert(EVE, [a_new_memory(), a_new_memory("a")]),
        Upsert(BOB, [a_new_memory()]),
    )  # fmt: skip

    assert isinstance(eve, SubjectErased)
    assert eve.metadata == {"subject_id": EVE}
    assert ada[0].changed and bob[0].changed
    assert await memories.get([EVE], "food") == []


async def test_sixty_four_writers_of_one_key_make_one_history_without_gaps(memories):
    values = [f"food number {n}" for n in range(64)]

    answers = await asyncio.gather(*(put(memories, a_new_memory(value=value)) for value in values))

    versions = await history(memories)
    assert [one.version for one in versions] == list(range(64, 0, -1))
    assert sorted(one.value for one in versions) == sorted(values)
    assert [one.updated_at for one in versions] == sorted(
        (one.updated_at for one in versions), reverse=True
    )
    assert {(a.memory.version, a.memory.value) for [a] in answers} == {
        (one.version, one.value) for one in versions
    }
    [now] = await memories.get([ADA], "food")
    assert (now.version, now.value) == (64, versions[0].value)


async def test_writers_of_many_keys_in_any_order_do_not_stand_in_each_others_way(memories):
    keys = [f"k{n}" for n in range(10)]

    answers = await asyncio.gather(
        *(
            put(
                memories,
                *(a_new_memory(key, f"{writer}") for key in (keys if writer % 2 else keys[::-1])),
            )
            for writer in range(12)
        )
    )

    assert sorted(one[0].memory.version for one in answers) == list(range(1, 13))
    page = await listed(memories, "key")
    # Each request was set as a whole.
    assert len({one.value for one in page}) == 1


async def test_a_deletion_takes_the_item_along_and_stands_in_the_history(
    memories, items, functions
):
    [first] = await put(memories)
    request = Forgetting(ADA, "food")

    assert await memories.delete([request]) == [True]
    assert await memories.delete([request]) == [True], "the same call"
    assert await memories.delete([Forgetting(ADA, "food")]) == [False]

    assert await items.find_missing([first.memory.knowledge_id]) == []
    assert await items.page(Filter(), before=None, limit=5) == []
    queue = SqlIndexQueue(functions)
    assert await claim(queue, "me") == []
    [task] = await claim(queue, "me", "deleting")
    assert (task.knowledge_id, task.is_deletion) == (first.memory.knowledge_id, True)
    deletion, version = await history(memories)
    assert (deletion.version, deletion.is_deletion, deletion.value) == (2, True, "")
    assert (version.version, version.is_deletion) == (1, False)


async def test_what_is_set_again_goes_on_with_its_history_and_has_another_item(memories, items):
    [first] = await put(memories, a_new_memory(importance=0.9))
    await memories.delete([Forgetting(ADA, "food")])

    [again] = await put(memories)

    assert again.changed
    assert (again.memory.version, again.memory.importance) == (3, 0.5)
    assert again.memory.memory_id == first.memory.memory_id
    assert again.memory.created_at == first.memory.created_at
    assert again.memory.knowledge_id != first.memory.knowledge_id
    assert (await items.get(again.memory.knowledge_id)).content == "food: ramen"
    assert [one.version for one in await history(memories)] == [3, 2, 1]


async def test_a_purge_leaves_nothing(memories, database: Database):
    await put(memories)
    await put(memories, a_new_memory(value="pho"))
    await put(memories, a_new_memory("gone"))
    await memories.delete([Forgetting(ADA, "gone")])

    deleted = await memories.delete(
        [Forgetting(ADA, "food", purge=True), Forgetting(ADA, "gone", purge=True)]
    )

    assert deleted == [True, False]
    async with as_administrator(database) as admin:
        assert await admin.fetchval("SELECT count(*) FROM knowledge.memory_versions") == 0
        assert await admin.fetchval("SELECT count(*) FROM knowledge.memories") == 0
    [again] = await put(memories)
    assert again.memory.version == 1


async def test_an_item_that_is_being_indexed_is_left_to_its_indexer(memories, functions):
    await put(memories)
    queue = SqlIndexQueue(functions)
    [task] = await claim(queue, "indexer")

    await memories.delete([Forgetting(ADA, "food")])

    assert await claim(queue, "other", "deleting") == []
    assert await mark(queue, "m", task) == [task.knowledge_id]


async def test_of_people_who_are_one_the_first_who_has_the_key_counts(memories):
    for person_id in (BOB, ADA):
        await put(memories, a_new_memory(value=f"of {person_id}"), person_id=person_id)

    one, other = await memories.get([ADA, BOB], "food")
    turned, _ = await memories.get([EVE, BOB, ADA], "food")
    [third] = await put(memories, person_id=EVE, person_ids=[ADA, BOB, EVE])

    assert [(m.person_id, m.shadowed_by) for m in (one, other)] == [(ADA, None), (BOB, ADA)]
    assert (turned.person_id, turned.shadowed_by) == (BOB, None)
    assert third.memory.shadowed_by == ADA


async def listed(
    memories: MemoryStore, sorting: Sorting, people: Sequence[str] = (ADA,),
    chosen: MemoryFilter = ALL, size: int = 50,
) -> list[Memory]:  # fmt: skip
    """All pages, one after the other."""
    found: list[Memory] = []
    after = None
    while True:
        page = await memories.page(people, chosen, sorting, after=after, limit=size)
        found += page
        if len(page) < size:
            return found
        last = page[-1]
        rank = {
            "key": None, "importance": last.importance, "updated": last.updated_at,
            "accessed": last.last_accessed_at,
        }[sorting]  # fmt: skip
        after = MemoryPlace(rank, last.key, last.person_id)


@pytest.fixture
async def many(memories: MemoryStore) -> list[Memory]:
    """Of two people, with equal keys, importances, and accesses among them."""
    for person_id in (BOB, ADA):
        await put(
            memories,
            *(
                a_new_memory(f"k{n}", f"v{n}", importance=(n % 3) / 2, category=f"c{n % 2}")
                for n in (range(8) if person_id == ADA else range(4, 12))
            ),
            person_id=person_id,
        )
    read = {memory_id(ADA, "k1"): (2, 5.0), memory_id(BOB, "k9"): (1, 1.0)}
    await memories.count_accesses(read, ids.new())
    return [m for n in range(12) for m in await memories.get([ADA, BOB], f"k{n}")]


@pytest.mark.parametrize("sorting", ["key", "importance", "updated", "accessed"])
async def test_each_order_is_paged_without_gap_or_repeat(
    memories, many: list[Memory], sorting: Sorting
):
    def rank(one: Memory) -> Any:
        if sorting == "importance":
            return -one.importance
        when = {"key": "", "updated": one.updated_at, "accessed": one.last_accessed_at}[sorting]
        return [-ord(letter) for letter in when or ""] or [0]

    expected = sorted(many, key=lambda one: (rank(one), one.key, one.person_id))
    for size in (1, 3, 50):
        found = await listed(memories, sorting, [ADA, BOB], size=size)
        assert [(m.key, m.person_id) for m in found] == [(m.key, m.person_id) for m in expected]
    if sorting == "accessed":
        assert [m.key for m in found[:2]] == ["k9", "k1"]


@pytest.mark.parametrize(
    ("chosen", "fits"),
    [
        (MemoryFilter(categories=["c1"]), lambda one: one.category == "c1"),
        (MemoryFilter(categories=["c1", "c0"], least=1.0), lambda one: one.importance == 1),
        (MemoryFilter(exclude_shadowed=True), lambda one: one.shadowed_by is None),
        (MemoryFilter(categories=["none"]), lambda _: False),
    ],
    ids=["category", "importance", "unshadowed", "nothing"],
)
async def test_a_list_is_narrowed(memories, many: list[Memory], chosen: MemoryFilter, fits: Any):
    found = await listed(memories, "importance", [ADA, BOB], chosen, size=2)

    assert {(m.key, m.person_id) for m in found} == {(m.key, m.person_id) for m in many if fits(m)}
    assert {m.shadowed_by for m in many if m.person_id == BOB} == {ADA, None}


async def test_a_history_is_paged(memories):
    for n in range(5):
        await put(memories, a_new_memory(value=f"{n}"))
    one = memory_id(ADA, "food")
    first = await memories.versions(one, before=None, limit=2)
    rest = await memories.versions(one, before=first[-1].version, limit=9)
    assert [m.value for m in [*first, *rest]] == ["4", "3", "2", "1", "0"]


async def test_accesses_add_up_and_a_repeated_flush_counts_once(memories):
    [one] = await put(memories)
    flush = ids.new()

    await memories.count_accesses({one.memory.memory_id: (3, 60.0), ids.new(): (1, 0.0)}, flush)
    await memories.count_accesses({one.memory.memory_id: (3, 60.0)}, flush)
    await memories.count_accesses({one.memory.memory_id: (2, 3600.0)}, ids.new())

    [read] = await memories.get([ADA], "food")
    assert read.access_count == 5
    assert read.last_accessed_at is not None
    assert read.last_accessed_at < one.memory.updated_at, "the later of the two, a minute ago"
    assert (read.version, read.updated_at) == (1, one.memory.updated_at)


async def test_what_is_read_by_id_says_who_is_shadowed(memories):
    [mine], [theirs] = await put(memories), await put(memories, person_id=BOB)
    wanted = [mine.memory.memory_id, theirs.memory.memory_id, ids.new()]

    read = await memories.read(wanted, [BOB, ADA])

    assert {one: memory.shadowed_by for one, memory in read.items()} == {
        mine.memory.memory_id: BOB, theirs.memory.memory_id: None
    }  # fmt: skip
