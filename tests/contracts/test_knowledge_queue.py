"""What every IndexQueue does, over each transport."""

import asyncio

import pytest

from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.domain.items import Entry, Failure, Kind, Space, Stored, Task, Write
from knowledge_svc.ports.items import IndexQueue, ItemStore
from svckit import ids, sql
from tests.support.cluster import Database
from tests.support.knowledge import an_entry, as_administrator, eventually


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


async def stored(items: ItemStore, *contents: str) -> list[Write]:
    """The writes of new items."""
    answers = await items.store([an_entry(content) for content in contents])
    return [write_of(answer) for answer in answers]


def write_of(answer: object) -> Write:
    assert isinstance(answer, Stored)
    assert answer.revision is not None
    return Write(answer.knowledge_id, answer.revision)


def writes_of(tasks: list[Task]) -> list[Write]:
    return [Write(task.knowledge_id, task.revision) for task in tasks]


async def claim(
    queue: IndexQueue,
    owner: str = "me",
    most: int = 10,
    lease: float = 30.0,
    kind: Kind = "pending",
    most_bytes: int = 1 << 20,
):
    return await queue.claim(owner, kind, most=most, most_bytes=most_bytes, lease_seconds=lease)


async def test_new_items_are_claimed_oldest_first_with_what_their_vector_needs(queue, items):
    entry = an_entry("hello", subject_id=ids.named("ann"), group_id=ids.named("g"))
    first = write_of((await items.store([entry]))[0])
    rest = await stored(items, "a", "b")

    tasks = await claim(queue, most=2)

    assert writes_of(tasks) == [first, rest[0]]
    task, item = tasks[0], entry.item
    assert (task.content, task.namespace, task.subject_id, task.group_id, task.session_id) == (
        item.content, item.namespace, item.subject_id, item.group_id, None
    )  # fmt: skip
    assert (task.attempts, task.is_deletion) == (0, False)


async def test_claimants_never_get_the_same_task(queue, items):
    writes = await stored(items, *(f"{n}" for n in range(60)))

    claims = await asyncio.gather(*(claim(queue, f"replica {n}", most=7) for n in range(12)))

    taken = [write for tasks in claims for write in writes_of(tasks)]
    assert sorted(taken, key=lambda write: write.revision) == writes


async def test_a_lease_that_ended_makes_a_task_anybodys_again(queue, items):
    writes = await stored(items, "left over")
    assert writes_of(await claim(queue, "dead replica", lease=0.2)) == writes
    assert await claim(queue, "other replica") == []

    again = await eventually(lambda: claim(queue, "other replica"))

    assert writes_of(again) == writes


async def test_what_is_marked_is_indexed_and_not_pending(queue, items):
    first, second = await stored(items, "a", "b")
    await claim(queue)

    gone = await queue.mark_indexed([first], "model", owner="me")

    assert gone == []
    assert await queue.pending([first, second]) == [second]
    item = await items.get(first.knowledge_id)
    assert (item.index_state, item.embedding_model) == ("indexed", "model")
    assert await claim(queue, lease=0) == []


async def test_an_item_without_a_vector_is_indexed_by_no_model(queue, items):
    [write] = await stored(items, "...")

    await queue.mark_indexed([write], None, owner="me")

    item = await items.get(write.knowledge_id)
    assert (item.index_state, item.embedding_model) == ("indexed", None)


async def test_marking_twice_is_fine(queue, items):
    [write] = await stored(items, "a")

    assert await queue.mark_indexed([write], "model", owner="me") == []
    assert await queue.mark_indexed([write], "model", owner="me") == []
    assert await queue.pending([write]) == []


@pytest.mark.parametrize("state", ["pending", "indexed"])
async def test_only_the_very_write_that_was_indexed_is_marked(
    queue, items, state, database: Database
):
    """The row has changed since it was claimed; its vector is of what it was before."""
    [write] = await stored(items, "before")
    await claim(queue)
    async with as_administrator(database) as admin:
        await admin.execute(
            f"""UPDATE knowledge.index_states
                SET revision = revision + 1, state = '{state}', next_attempt_at = now()"""
        )

    assert await queue.mark_indexed([write], "model", owner="me") == []

    newer = Write(write.knowledge_id, write.revision + 1)
    assert (await items.get(write.knowledge_id)).index_state == "pending"
    assert await queue.pending([write, newer]) == [write, newer]
    assert writes_of(await claim(queue)) == [newer]


async def test_marking_says_which_items_were_deleted_meanwhile(queue, items):
    first, second = await stored(items, "a", "b")
    await claim(queue, "indexer")
    await deleted(items, first)

    assert await queue.mark_indexed([first, second], "model", owner="me") == [first.knowledge_id]
    assert (await items.get(second.knowledge_id)).index_state == "indexed"


async def deleted(items: ItemStore, write: Write, lease: float = 30.0) -> None:
    [is_deleted] = await items.start_deletions(
        [write.knowledge_id], [ids.new()], owner="deleter", lease_seconds=lease
    )
    assert is_deleted


async def test_a_deletion_nobody_finished_becomes_a_task(queue, items):
    [write] = await stored(items, "a")
    await queue.mark_indexed([write], "model", owner="me")
    await deleted(items, write, lease=0.2)
    assert await claim(queue, kind="deleting") == []

    [task] = await eventually(lambda: claim(queue, "indexer", kind="deleting"))
    await items.finish_deletions([task.knowledge_id], owner="indexer")

    assert task.is_deletion
    assert (await queue.backlog()).rows == 0


async def test_a_finished_deletion_is_no_task(queue, items):
    [write] = await stored(items, "a")
    await deleted(items, write)

    await items.finish_deletions([write.knowledge_id], owner="deleter")

    assert (await queue.backlog()).rows == 0


async def test_what_an_indexer_is_at_is_left_for_the_queue_to_delete(queue, items):
    """Its vector may still be on the way; only then may the row, which remembers that, go."""
    [write] = await stored(items, "a")
    await claim(queue, "indexer", lease=0.3)
    await deleted(items, write, lease=0.0)

    await items.finish_deletions([write.knowledge_id], owner="deleter")

    assert await claim(queue, "other", kind="deleting") == []
    [task] = await eventually(lambda: claim(queue, "other", kind="deleting"))
    assert task.is_deletion


async def test_what_failed_is_put_off_and_given_up_in_the_end(queue, items):
    [write] = await stored(items, "poison")
    [task] = await claim(queue)

    await queue.put_off([Failure(task, 1, 0.2, False, "first\0 trouble")], owner="me")
    early = await claim(queue)
    [task] = await eventually(lambda: claim(queue))
    await queue.put_off([Failure(task, 2, 0.0, True, "x" * 10_000)], owner="me")

    assert early == []
    assert task.attempts == 1
    assert (await items.get(write.knowledge_id)).index_state == "failed"
    assert await claim(queue) == []
    assert await queue.pending([write]) == []


async def test_a_deletion_is_never_given_up(queue, items):
    [write] = await stored(items, "a")
    await deleted(items, write, lease=0.0)
    [task] = await claim(queue, kind="deleting")

    await queue.put_off([Failure(task, 99, 0.0, True, "no")], owner="me")

    assert (await claim(queue, kind="deleting"))[0].is_deletion


async def test_writes_of_items_that_are_gone_are_not_pending(queue, items):
    [write] = await stored(items, "a")
    await deleted(items, write)

    assert await queue.pending([write, Write(ids.new(), 1)]) == []


async def test_the_backlog_counts_what_waits(queue, items):
    assert (await queue.backlog()).rows == 0
    first, *_ = await stored(items, "a", "b", "c")
    await queue.mark_indexed([first], "model", owner="me")

    backlog = await queue.backlog()

    assert backlog.rows == 2
    assert 0 <= backlog.oldest_seconds < 60


async def test_the_first_space_proposed_is_the_one_that_serves(queue):
    first = Space("first", "model a", 4, "whole-1")

    together = await asyncio.gather(*(queue.ensure_space(first) for _ in range(5)))
    later = await queue.ensure_space(Space("second", "model b", 8, "whole-1"))

    assert together == [first] * 5
    assert later == first


async def test_an_entry_that_was_a_duplicate_is_not_queued(queue, items):
    entry: Entry = an_entry()
    await items.store([entry])
    await items.store([entry])

    assert len(await claim(queue)) == 1


async def test_settling_loses_no_words(queue, items, database: Database):
    await stored(items, "a heron", "a stork")

    await queue.settle()
    await queue.settle()

    async with as_administrator(database) as admin:
        await admin.execute("SET enable_seqscan = off")
        found = await admin.fetch(
            "SELECT content FROM knowledge.knowledge_items WHERE terms @> '{heron}'"
        )
    assert [row["content"] for row in found] == ["a heron"]
