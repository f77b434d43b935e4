"""What every IndexQueue does about leases and later writes, over each transport."""

import pytest

from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.domain.changes import Change
from knowledge_svc.domain.items import Failure, Item, Task, Write
from knowledge_svc.ports.items import IndexQueue, ItemStore
from knowledge_svc.terms import terms_of
from svckit import ids, sql
from tests.support.knowledge import an_entry, eventually


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
def queue(functions: sql.SqlFunctions) -> IndexQueue:
    """An empty queue over each transport in turn."""
    return SqlIndexQueue(functions)


@pytest.fixture
def items(functions: sql.SqlFunctions) -> ItemStore:
    """The store that fills the queue."""
    return SqlItemStore(functions)


async def claim(queue: IndexQueue, owner: str, lease: float = 30.0, **bounds: int) -> list[Task]:
    given = {"most": 10, "most_bytes": 1 << 20, **bounds}
    return [*await queue.claim(owner, "pending", lease_seconds=lease, **given)]


async def changed(items: ItemStore, task: Task, content: str = "later") -> Item:
    [item] = await items.update([Change(task.knowledge_id, content, terms_of(content))])
    assert isinstance(item, Item)
    return item


def write_of(task: Task) -> Write:
    return Write(task.knowledge_id, task.revision)


async def test_a_claim_takes_so_much_content_and_one_item_at_least(queue, items):
    await items.store([an_entry(c * 400) for c in "abcd"])

    first = await claim(queue, "me", most_bytes=700)
    second = await claim(queue, "me", most_bytes=1)

    assert [task.content[0] for task in first] == ["a", "b"]
    assert [task.content[0] for task in second] == ["c"]


async def test_a_lease_that_is_renewed_does_not_end(queue, items):
    await items.store([an_entry("slow"), an_entry("dropped")])
    tasks = await claim(queue, "me", lease=0.2)
    kept, dropped = sorted(tasks, key=lambda task: task.content == "dropped")

    await queue.renew("me", [kept.knowledge_id], lease_seconds=60)
    due = await eventually(lambda: claim(queue, "other"))

    assert [task.content for task in due] == [dropped.content]


async def test_only_who_holds_a_task_renews_it_or_lets_go_of_it(queue, items):
    await items.store([an_entry("a")])
    [task] = await claim(queue, "me", lease=60)

    await queue.renew("other", [task.knowledge_id], lease_seconds=0)
    still_held = await claim(queue, "other")
    await queue.renew("me", [task.knowledge_id], lease_seconds=0)

    assert still_held == []
    assert [task.content for task in await claim(queue, "other")] == ["a"]


async def test_what_another_holds_by_now_is_not_put_off(queue, items):
    await items.store([an_entry("a")])
    [task] = await claim(queue, "late", lease=0)
    [taken] = await claim(queue, "other", lease=60)

    await queue.put_off([Failure(task, 5, 0.0, True, "late")], owner="late")

    assert (await items.get(task.knowledge_id)).index_state == "pending"
    assert await claim(queue, "third") == []
    await queue.mark_indexed([write_of(taken)], "model", owner="other")


async def test_a_change_leaves_an_item_to_the_indexer_that_is_at_it_and_is_due_when_it_marks(
    queue, items
):
    """Else the vector of what was there before could come after that of the change."""
    await items.store([an_entry("before")])
    [task] = await claim(queue, "me", lease=60)

    item = await changed(items, task)
    meanwhile = await claim(queue, "other")
    await queue.mark_indexed([write_of(task)], "model", owner="me")
    [again] = await claim(queue, "other")

    assert meanwhile == []
    assert (again.content, again.revision) == ("later", item.revision)


async def test_a_change_is_due_when_the_lease_of_a_dead_indexer_ends(queue, items):
    await items.store([an_entry("before")])
    [task] = await claim(queue, "dead", lease=0.2)

    await changed(items, task)

    [again] = await eventually(lambda: claim(queue, "other"))
    assert again.content == "later"


async def test_a_mark_that_comes_late_leaves_the_item_to_who_is_at_the_change(queue, items):
    await items.store([an_entry("before")])
    [task] = await claim(queue, "late", lease=0)
    await changed(items, task)
    [newer] = await claim(queue, "other", lease=60)

    await queue.mark_indexed([write_of(task)], "model", owner="late")
    meanwhile = await claim(queue, "third")
    await queue.mark_indexed([write_of(newer)], "model", owner="other")

    assert meanwhile == []
    assert (await items.get(task.knowledge_id)).index_state == "indexed"


async def test_a_mark_that_comes_after_the_changes_has_the_change_indexed_once_more(queue, items):
    """The vector of what was there before may have come last."""
    await items.store([an_entry("before")])
    [task] = await claim(queue, "late", lease=0)
    await changed(items, task)
    [newer] = await claim(queue, "other")
    await queue.mark_indexed([write_of(newer)], "model", owner="other")

    await queue.mark_indexed([write_of(task)], "model", owner="late")

    assert [again.content for again in await claim(queue, "third")] == ["later"]


async def test_a_failure_of_what_was_there_before_does_not_hold_up_the_change(queue, items):
    await items.store([an_entry("poison")])
    [task] = await claim(queue, "me", lease=60)
    item = await changed(items, task, "remedy")

    await queue.put_off([Failure(task, 5, 60.0, True, "poison")], owner="me")

    [again] = await claim(queue, "other")
    assert (again.content, again.attempts, again.revision) == ("remedy", 0, item.revision)


async def test_the_age_of_a_deletion_counts_from_the_deletion(queue, items):
    entry = an_entry("old")
    await items.store([entry])
    [task] = await claim(queue, "me")
    await queue.mark_indexed([write_of(task)], "model", owner="me")

    await items.start_deletions([entry.item.knowledge_id], [ids.new()], owner="x", lease_seconds=60)

    assert (await queue.backlog()).rows == 1
    assert (await queue.backlog()).oldest_seconds < 30
