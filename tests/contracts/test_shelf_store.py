"""What every ShelfStore does, over each transport."""

import asyncio
import random
from typing import Any

import pytest

from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.adapters.sql_shelves import SqlShelfStore
from knowledge_svc.domain.items import Filter, Write
from svckit import ids, sql
from tests.support.cluster import Database
from tests.support.knowledge import an_entry, as_administrator

ANN, BEN = ids.named("ann"), ids.named("ben")

A_DOCUMENT = """
    INSERT INTO knowledge.documents (
        document_id, revision, occurred_at, subject_id, owner, size, version, is_latest, state,
        namespace, document_key, filename, media_type, blob_key, sha256, metadata)
    VALUES (gen_random_uuid(), 1, now(), $1, $1, $2, 1, true, $3, $4, '', 'f', 't',
            gen_random_uuid()::text, '', '{}')"""


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
def shelves(functions: sql.SqlFunctions) -> SqlShelfStore:
    """The shelves over each transport in turn."""
    return SqlShelfStore(functions)


@pytest.fixture
def items(functions: sql.SqlFunctions) -> SqlItemStore:
    """What stands on them."""
    return SqlItemStore(functions)


async def counts(
    shelves: SqlShelfStore, subject_ids: list[str] | None = None, **page: Any
) -> dict[str, tuple[int, int, int, int]]:
    found = await shelves.shelves(subject_ids, **{"after": "", "limit": 99, **page})
    return {s.namespace: (s.items, s.unindexed_items, s.documents, s.document_bytes) for s in found}


async def test_shelves_tell_what_stands_on_them(shelves, items, functions, database: Database):
    day = "2026-03-0{}T00:00:00+00:00"
    stored = await items.store(
        [
            an_entry("1", namespace="notes", subject_id=ANN, occurred_at=day.format(1)),
            an_entry("2", namespace="notes", subject_id=BEN, occurred_at=day.format(3)),
            an_entry("3", namespace="notes", subject_id=ANN, occurred_at=day.format(2)),
            an_entry("4", subject_id=ANN),
        ]
    )
    first = Write(stored[0].knowledge_id, stored[0].revision)
    await SqlIndexQueue(functions).mark_indexed([first], "m", owner="me")
    async with as_administrator(database) as admin:
        for arguments in (
            (ANN, 10, "succeeded", "handbooks"), (BEN, 5, "failed", "handbooks"),
            (ANN, 3, "storing", "drafts"), (ANN, 4, "deleting", "notes"),
            (ANN, 7, "pending", "notes"),
        ):  # fmt: skip
            await admin.execute(A_DOCUMENT, *arguments)

    assert await counts(shelves) == {
        "default": (1, 1, 0, 0), "handbooks": (0, 0, 2, 15), "notes": (3, 2, 1, 7)
    }  # fmt: skip
    assert await counts(shelves, [ANN]) == {
        "default": (1, 1, 0, 0), "handbooks": (0, 0, 1, 10), "notes": (2, 1, 1, 7)
    }  # fmt: skip
    assert await counts(shelves, [ids.new()]) == {}
    for subject_ids, last in ((None, 3), ([ANN], 2)):
        *_, notes = await shelves.shelves(subject_ids, after="", limit=9)
        assert notes.last_occurred_at == day.format(last)
    assert (await shelves.shelves(None, after="default", limit=1))[0].last_occurred_at is None


async def test_shelves_come_in_order_of_name_page_by_page(shelves, items):
    await items.store([an_entry(name, namespace=name) for name in ("b", "d", "a", "c", "a_b")])

    assert list(await counts(shelves, limit=2)) == ["a", "a_b"]
    assert list(await counts(shelves, after="a_b", limit=2)) == ["b", "c"]
    assert list(await counts(shelves, after="d")) == []


async def test_a_shelf_is_gone_when_nothing_stands_on_it(shelves, items):
    [stored] = await items.store([an_entry(namespace="short")])
    before = await counts(shelves)

    await items.start_deletions([stored.knowledge_id], [ids.new()], owner="me", lease_seconds=9)
    hidden = await counts(shelves)
    await items.finish_deletions([stored.knowledge_id], owner="me")

    assert before == {"short": (1, 1, 0, 0)}
    assert hidden == await counts(shelves) == {}


async def test_counts_are_exact_whoever_writes_and_counts_at_once(shelves, items, functions):
    """Stores, deletions and settling, all at the same time."""
    queue = SqlIndexQueue(functions)
    chance = random.Random(3)

    async def write(n: int) -> None:
        stored = await items.store(
            [an_entry(f"{n} {m}", namespace=f"shelf{chance.randrange(3)}") for m in range(8)]
        )
        gone = [one.knowledge_id for one in stored[: 1 + n % 4]]
        await items.start_deletions(gone, [ids.new() for _ in gone], owner="me", lease_seconds=9)
        await queue.settle()
        await items.finish_deletions(gone[:1], owner="me")

    await asyncio.gather(*(write(n) for n in range(15)))
    await queue.settle()

    listed = await items.page(Filter(), before=None, limit=500)
    expected: dict[str, int] = {}
    for item in listed:
        expected[item.namespace] = expected.get(item.namespace, 0) + 1
    assert {name: count[0] for name, count in (await counts(shelves)).items()} == expected
