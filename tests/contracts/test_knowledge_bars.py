"""What every ItemStore does about ids that are given up before anything is stored, over each
transport.
"""

import asyncio

import pytest

from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.domain.items import Stored
from knowledge_svc.ports.items import ItemStore
from svckit import ids, sql
from tests.support.knowledge import an_entry


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> ItemStore:
    """An empty store over each transport in turn."""
    return SqlItemStore(functions)


async def delete(store: ItemStore, knowledge_id: str) -> bool:
    [deleted] = await store.start_deletions(
        [knowledge_id], [ids.new()], owner="me", lease_seconds=5
    )
    assert isinstance(deleted, bool)
    return deleted


async def test_nothing_is_stored_under_a_barred_id(store: ItemStore):
    entry, request = an_entry(), ids.new()

    assert await store.bar(entry.item.knowledge_id, request)
    assert await store.bar(entry.item.knowledge_id, request)
    assert await store.bar(entry.item.knowledge_id, ids.new())

    assert await store.store([entry]) == [Stored(entry.item.knowledge_id, "deleted", None)]
    assert await store.find_missing([entry.item.knowledge_id]) == []
    assert not await delete(store, entry.item.knowledge_id)


async def test_an_item_that_is_there_is_not_barred(store: ItemStore):
    entry = an_entry()
    await store.store([entry])

    assert not await store.bar(entry.item.knowledge_id, ids.new())

    assert (await store.get(entry.item.knowledge_id)).content == entry.item.content
    assert await delete(store, entry.item.knowledge_id)
    assert await store.bar(entry.item.knowledge_id, ids.new())


async def test_of_a_bar_and_a_store_that_race_one_sees_the_other(store: ItemStore):
    outcomes = set()
    for n in range(12):
        entry = an_entry(f"number {n}")
        [stored], barred = await asyncio.gather(
            store.store([entry]), store.bar(entry.item.knowledge_id, ids.new())
        )

        assert isinstance(stored, Stored)
        outcomes.add((stored.outcome, barred))

    assert outcomes <= {("created", False), ("deleted", True)}
