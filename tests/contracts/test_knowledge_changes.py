"""What every ItemStore does about changes, over each transport."""

import asyncio
from typing import Any

import pytest

from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.domain.changes import Change, ContentTaken, EtagMismatch, KnowledgeDerived
from knowledge_svc.domain.items import (
    Filter,
    Item,
    KnowledgeNotFound,
    Stored,
    SubjectErased,
    Write,
)
from knowledge_svc.ports.items import IndexQueue, ItemStore
from knowledge_svc.terms import terms_of
from svckit import ids, sql
from svckit.errors import InvalidRequest
from tests.support.cluster import Database
from tests.support.knowledge import an_entry, as_administrator

ANN = ids.named("ann")


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> ItemStore:
    """An empty store over each transport in turn."""
    return SqlItemStore(functions)


@pytest.fixture
def queue(functions: sql.SqlFunctions) -> IndexQueue:
    """Its queue."""
    return SqlIndexQueue(functions)


def a_change(knowledge_id: str, content: str | None = None, **changes: Any) -> Change:
    terms = None if content is None else terms_of(content)
    return Change(knowledge_id, content, terms, **changes)


async def stored(store: ItemStore, content: str = "before", **changes: Any) -> Item:
    [answer] = await store.store([an_entry(content, **changes)])
    assert isinstance(answer, Stored)
    return await store.get(answer.knowledge_id)


async def indexed(store: ItemStore, queue: IndexQueue, *items: Item) -> None:
    writes = [Write(item.knowledge_id, item.revision) for item in items]
    await queue.mark_indexed(writes, "model", owner="me")


async def one(store: ItemStore, change: Change) -> Any:
    [answer] = await store.update([change])
    return answer


async def test_new_content_is_a_new_write_of_the_same_item_and_waits_to_be_indexed(store, queue):
    item = await stored(store, metadata={"kept": 1}, subject_id=ANN, occurred_at="2026-01-01T00:00")
    await indexed(store, queue, item)

    changed = await one(store, a_change(item.knowledge_id, "after"))

    assert changed == await store.get(item.knowledge_id)
    assert (changed.content, changed.metadata, changed.index_state) == (
        "after", {"kept": 1}, "pending"
    )  # fmt: skip
    assert changed.revision > item.revision
    assert (item.updated_at, changed.occurred_at) == (None, item.occurred_at)
    assert changed.updated_at >= item.created_at
    [task] = await queue.claim("me", "pending", most=9, most_bytes=9, lease_seconds=9)
    assert (task.content, task.revision) == ("after", changed.revision)


@pytest.mark.parametrize(
    ("patch", "after"),
    [
        ({"a": 2}, {"a": 2, "b": {"c": [1], "d": 1}}),
        ({"a": None, "x": None}, {"b": {"c": [1], "d": 1}}),
        ({"b": {"d": None, "e": "ü"}}, {"a": 1, "b": {"c": [1], "e": "ü"}}),
        ({"b": [2]}, {"a": 1, "b": [2]}),
    ],
)
async def test_metadata_changes_by_merge_patch_and_keeps_the_vector(store, queue, patch, after):
    item = await stored(store, metadata={"a": 1, "b": {"c": [1], "d": 1}})
    await indexed(store, queue, item)

    changed = await one(store, a_change(item.knowledge_id, metadata_patch=patch))

    assert (changed.content, changed.metadata) == ("before", after)
    assert changed.revision > item.revision
    # What the vector is of is what it was.
    assert (changed.index_state, changed.embedding_model) == ("indexed", "model")


@pytest.mark.parametrize("etag", [None, "stale"])
async def test_a_change_that_is_there_already_changes_nothing_whatever_the_etag(store, etag):
    item = await stored(store, metadata={"a": 1})
    change = a_change(item.knowledge_id, "after", metadata_patch={"a": None}, etag=None)

    first = await one(store, change)
    again = await one(
        store, a_change(item.knowledge_id, "after", metadata_patch={"a": None}, etag=etag)
    )

    assert again == first


async def test_an_etag_lets_only_those_change_who_have_seen_the_latest(store):
    item = await stored(store)

    first = await one(store, a_change(item.knowledge_id, "one", etag=str(item.revision)))
    second = await one(store, a_change(item.knowledge_id, "two", etag=str(item.revision)))

    assert first.content == "one"
    assert isinstance(second, EtagMismatch)
    assert (await store.get(item.knowledge_id)).content == "one"


async def test_an_item_that_is_not_there_or_deleted_is_not_found(store):
    item = await stored(store)
    await store.start_deletions([item.knowledge_id], [ids.new()], owner="me", lease_seconds=9)

    answers = await store.update([a_change(item.knowledge_id, "x"), a_change(ids.new(), "x")])

    assert [type(answer) for answer in answers] == [KnowledgeNotFound] * 2


async def test_content_that_another_item_of_the_owner_has_is_taken(store):
    item, other = await stored(store, "one"), await stored(store, "two")
    of_event = await stored(store, "three", source_event_id=ids.new())
    elsewhere = await stored(store, "four", namespace="notes")

    taken = await one(store, a_change(item.knowledge_id, "two"))
    allowed = await store.update(
        [
            a_change(of_event.knowledge_id, "two"),
            a_change(elsewhere.knowledge_id, "two"),
        ]
    )

    assert isinstance(taken, ContentTaken)
    assert taken.metadata == {"knowledge_id": other.knowledge_id}
    assert [answer.content for answer in allowed] == ["two", "two"]


async def test_the_old_content_is_free_again_and_the_new_one_is_not(store):
    item = await stored(store, "old")
    await one(store, a_change(item.knowledge_id, "new"))

    [old, new] = await store.store([an_entry("old"), an_entry("new")])

    assert (old.outcome, new.outcome, new.knowledge_id) == (
        "created", "duplicate", item.knowledge_id
    )  # fmt: skip


async def test_metadata_may_not_grow_beyond_its_bound(store):
    item = await stored(store, metadata={"a": "x" * 9_000})

    refused = await one(store, a_change(item.knowledge_id, metadata_patch={"b": "y" * 9_000}))
    replaced = await one(store, a_change(item.knowledge_id, metadata_patch={"a": "y" * 9_000}))

    assert isinstance(refused, InvalidRequest)
    assert refused.violations[0][0] == "metadata_patch"
    assert replaced.metadata == {"a": "y" * 9_000}


@pytest.mark.parametrize("kind", ["document_id", "memory_id"])
async def test_what_is_derived_is_neither_changed_nor_deleted(store, kind, database: Database):
    item, source = await stored(store), ids.new()
    async with as_administrator(database) as admin:
        await admin.execute(f"UPDATE knowledge.knowledge_items SET {kind} = '{source}'")

    [changed] = await store.update([a_change(item.knowledge_id, "after")])
    [deleted] = await store.start_deletions(
        [item.knowledge_id], [ids.new()], owner="me", lease_seconds=9
    )

    for refused in (changed, deleted):
        assert isinstance(refused, KnowledgeDerived)
        assert refused.metadata == {"knowledge_id": item.knowledge_id, kind: source}
    assert (await store.get(item.knowledge_id)).content == "before"


@pytest.mark.parametrize("field", ["subject_id", "person_id"])
async def test_nothing_about_somebody_erased_is_changed(store, field, database: Database):
    item = await stored(store, **{field: ANN})
    async with as_administrator(database) as admin:
        await admin.execute(f"SELECT knowledge.close_subjects('{{{ANN}}}')")

    refused = await one(store, a_change(item.knowledge_id, "after"))

    assert isinstance(refused, SubjectErased)
    assert refused.metadata == {"subject_id": ANN}


async def test_changes_of_one_batch_are_judged_one_after_the_other(store):
    first, second = await stored(store, "one"), await stored(store, "two")

    answers = await store.update(
        [
            a_change(first.knowledge_id, "same"),
            a_change(second.knowledge_id, "same"),
            a_change(first.knowledge_id, metadata_patch={"a": 1}),
            a_change(first.knowledge_id, metadata_patch={"b": 2}),
        ]
    )

    assert isinstance(answers[1], ContentTaken)
    now = await store.get(first.knowledge_id)
    assert (now.content, now.metadata) == ("same", {"a": 1, "b": 2})
    assert [answers[0], *answers[2:]] == [now] * 3


async def test_writers_of_the_same_content_never_meet_in_an_error(store):
    """Stores, changes and deletions at once; whatever comes first, one item has the content."""
    items = [await stored(store, f"item {n}") for n in range(12)]
    calls: list[Any] = []
    for n, item in enumerate(items):
        content = f"wanted {n % 3}"
        calls.append(store.update([a_change(item.knowledge_id, content)]))
        calls.append(store.store([an_entry(content), an_entry(f"item {n}")]))
        if n % 4 == 0:
            calls.append(
                store.start_deletions([item.knowledge_id], [ids.new()], owner="me", lease_seconds=9)
            )

    answers = await asyncio.gather(*calls)

    kinds = {type(answer) for some in answers for answer in some}
    assert kinds <= {Item, Stored, ContentTaken, KnowledgeNotFound, bool}
    contents = [item.content for item in await store.page(Filter(), before=None, limit=99)]
    assert len(contents) == len(set(contents))
