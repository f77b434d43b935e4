"""What the queues of two spaces do that follow one another, over each transport."""

import pytest

from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_integrity import SqlIntegrityStore
from knowledge_svc.domain.items import Failure
from svckit import ids
from tests.support.cluster import Database
from tests.support.knowledge import as_administrator, eventually
from tests.support.reindexing import replace
from tests.support.spaces import NEW, claim, delete, index_all, mark, store


@pytest.fixture
def schema() -> str:
    return "knowledge"


async def test_what_is_written_meanwhile_does_not_wait_behind_all_that_was_there(
    spaces, items, new
):
    for _ in range(3):
        await store(items, *(f"before {ids.new()}" for _ in range(1_000)))
    await spaces.start(NEW)
    await claim(new)
    await store(items, "after")

    claimed = [await claim(new, most=500) for _ in range(3)]

    assert "after" in {task.content for tasks in claimed for task in tasks}


async def test_a_new_write_of_an_item_waits_for_both_spaces(
    spaces, items, old, new, database: Database
):
    [write] = await store(items, "one")
    await spaces.start(NEW)
    await index_all(old, "model a")
    [task] = await claim(new)
    await replace(database, write.knowledge_id, "two")

    assert await mark(new, "model b", task) == []

    assert await index_all(old, "model a") == ["two"]
    assert await index_all(new, "model b") == ["two"]


@pytest.mark.parametrize("space", ["old", "new"])
async def test_only_who_holds_a_task_in_a_space_renews_it_or_puts_it_off(
    spaces, items, functions, space: str
):
    queue = SqlIndexQueue(functions, space)
    other = SqlIndexQueue(functions, "new" if space == "old" else "old")
    [write] = await store(items, "one")
    await spaces.start(NEW)
    [task] = await claim(queue, "me")

    await queue.renew("other", [write.knowledge_id], lease_seconds=0)
    await queue.put_off([Failure(task, 5, 0.0, True, "ill")], owner="other")
    # Nor is it anything to the queue of the other space.
    await other.renew("me", [write.knowledge_id], lease_seconds=0)
    await other.put_off([Failure(task, 5, 0.0, True, "ill")], owner="me")
    assert await claim(queue, "other") == []
    assert (await queue.backlog()).dead_letters == (await other.backlog()).dead_letters == 0

    await queue.renew("me", [write.knowledge_id], lease_seconds=0)
    [task] = await claim(queue, "other")
    await queue.put_off([Failure(task, 5, 0.0, True, "ill")], owner="other")
    assert ((await queue.backlog()).dead_letters, (await other.backlog()).dead_letters) == (1, 0)


async def test_a_change_leaves_an_item_to_the_indexer_of_each_space_that_is_at_it(
    spaces, items, old, new, database: Database
):
    [write] = await store(items, "one")
    await spaces.start(NEW)
    tasks = {queue: await claim(queue, "me") for queue in (old, new)}
    await replace(database, write.knowledge_id, "two")

    for queue, (task,) in tasks.items():
        assert await claim(queue, "other") == []
        assert await mark(queue, "model", task, owner="me") == []
        [again] = await claim(queue, "other")
        assert again.content == "two"


async def test_what_was_given_up_in_a_space_is_tried_again_after_a_change(
    spaces, items, old, new, database: Database
):
    [write] = await store(items, "one")
    await spaces.start(NEW)
    await index_all(old, "model a")
    [task] = await claim(new)
    await new.put_off([Failure(task, 5, 0.0, True, "ill")], owner="indexer")
    before = (await new.backlog()).dead_letters
    await replace(database, write.knowledge_id, "two")

    assert (before, (await new.backlog()).dead_letters) == (1, 0)
    assert await index_all(new, "model b") == ["two"]
    async with as_administrator(database) as admin:
        assert await admin.fetchval("SELECT count(failed_at) FROM knowledge.space_states") == 0


async def test_a_write_that_changes_no_vector_is_not_indexed_again(
    spaces, items, old, new, database: Database
):
    await store(items, "one")
    await spaces.start(NEW)
    await index_all(old, "model a")
    await index_all(new, "model b")

    async with as_administrator(database) as admin:
        await admin.execute("UPDATE knowledge.index_states SET revision = revision + 1")
        revisions = await admin.fetch(
            "SELECT DISTINCT revision FROM knowledge.space_states WHERE state = 'indexed'"
        )

    assert len(revisions) == 1
    assert await index_all(new, "model b") == []


async def test_an_indexer_marks_its_own_space_whichever_serves(spaces, items, old, new):
    [write] = await store(items, "one")
    await spaces.start(NEW)
    await index_all(new, "model b")
    [task] = await claim(old, "slow")
    await spaces.switch("new")

    await mark(old, "model a", task, owner="slow")

    assert (await items.get(write.knowledge_id)).embedding_model == "model b"
    assert [status.indexed_items for status in await spaces.spaces()] == [1, 1]


async def test_an_item_does_not_go_before_its_vector_in_the_other_space(spaces, items, old, new):
    [write] = await store(items, "one")
    await spaces.start(NEW)
    await index_all(old, "model a")
    await index_all(new, "model b")
    await delete(items, write.knowledge_id)

    await items.finish_deletions([write.knowledge_id], owner="me")
    assert (await old.backlog()).rows == 1
    removals = await spaces.removals("new", most=10)
    await spaces.forget_removals("new", removals)
    [task] = await eventually(lambda: claim(old, "me", "deleting"))
    await items.finish_deletions([write.knowledge_id], owner="me")

    assert removals == [write.knowledge_id]
    assert task.is_deletion
    assert (await old.backlog()).rows == 0
    assert await items.find_missing([write.knowledge_id]) == []


@pytest.mark.parametrize("has_row", [True, False])
async def test_a_deletion_whose_row_is_lost_ends_in_both_spaces_once_it_is_repaired(
    spaces, items, old, new, functions, database: Database, has_row: bool
):
    [write] = await store(items, "one")
    await spaces.start(NEW)
    await index_all(old, "model a")
    await index_all(new, "model b")
    async with as_administrator(database) as admin:
        await admin.execute("UPDATE knowledge.knowledge_items SET deleted_at = now()")
        await admin.execute("DELETE FROM knowledge.index_states")
        if not has_row:
            await admin.execute("DELETE FROM knowledge.space_states")

    assert await SqlIntegrityStore(functions).resume_deletions([write.knowledge_id]) == [True]

    assert await claim(new) == []
    assert await spaces.removals("new", most=10) == [write.knowledge_id]
    await spaces.forget_removals("new", [write.knowledge_id])
    [task] = await claim(old, "me", "deleting")
    await items.finish_deletions([task.knowledge_id], owner="me")
    async with as_administrator(database) as admin:
        assert await admin.fetchval("SELECT count(*) FROM knowledge.knowledge_items") == 0


async def test_what_the_other_indexer_is_at_is_removed_when_it_is_done(spaces, items, old, new):
    """Its vector may be on the way."""
    [write] = await store(items, "one")
    await spaces.start(NEW)
    await claim(new, "slow", lease=0.4)
    await delete(items, write.knowledge_id)

    assert await spaces.removals("new", most=10) == []
    assert await mark(new, "model b", write, owner="slow") == [write.knowledge_id]
    removals = await eventually(lambda: spaces.removals("new", most=10))
    assert removals == [write.knowledge_id]


async def test_a_deletion_ends_in_the_space_that_serves_by_then(spaces, items, old, new):
    first, second = await store(items, "one", "two")
    await spaces.start(NEW)
    await index_all(old, "model a")
    await index_all(new, "model b")
    for write in (first, second):
        await delete(items, write.knowledge_id)
    await spaces.forget_removals("new", [first.knowledge_id])
    await spaces.switch("new")

    await items.finish_deletions([first.knowledge_id, second.knowledge_id], owner="me")
    claimed = await claim(new, kind="deleting")
    await spaces.forget_removals("old", await spaces.removals("old", most=10))
    await items.finish_deletions([task.knowledge_id for task in claimed], owner="indexer")

    assert {task.knowledge_id for task in claimed if task.is_deletion} == {
        first.knowledge_id, second.knowledge_id
    }  # fmt: skip
    assert (await new.backlog()).rows == (await old.backlog()).rows == 0
