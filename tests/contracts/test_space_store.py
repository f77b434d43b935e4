"""What every SpaceStore does, over each transport, and the queues of its spaces."""

import asyncio
from typing import Any

import pytest

from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_integrity import SqlIntegrityStore
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.adapters.sql_spaces import SqlSpaceStore
from knowledge_svc.domain.items import Failure, Kind, Space, Stored, Task, Write
from knowledge_svc.domain.spaces import SpaceNotFound, SpaceNotReady
from knowledge_svc.ports.spaces import SpaceStore
from svckit import ids, sql
from tests.support.cluster import Database
from tests.support.knowledge import an_entry, as_administrator, eventually
from tests.support.reindexing import replace

OLD = Space("old", "model a", 4, "whole-1")
NEW = Space("new", "model b", 8, "whole-1")
THIRD = Space("third", "model c", 8, "whole-1")


@pytest.fixture
def schema() -> str:
    return "knowledge"


@pytest.fixture
async def spaces(functions: sql.SqlFunctions) -> SpaceStore:
    """A store in which OLD serves."""
    await SqlIndexQueue(functions).ensure_space(OLD)
    return SqlSpaceStore(functions)


@pytest.fixture
def items(functions: sql.SqlFunctions) -> SqlItemStore:
    return SqlItemStore(functions)


@pytest.fixture
def old(functions: sql.SqlFunctions) -> SqlIndexQueue:
    return SqlIndexQueue(functions, "old")


@pytest.fixture
def new(functions: sql.SqlFunctions) -> SqlIndexQueue:
    return SqlIndexQueue(functions, "new")


async def store(items: SqlItemStore, *contents: str) -> list[Write]:
    answers = await items.store([an_entry(content) for content in contents])
    return [
        Write(one.knowledge_id, one.revision)
        for one in answers
        if isinstance(one, Stored) and one.revision is not None
    ]


async def claim(
    queue: SqlIndexQueue, owner: str = "indexer", kind: Kind = "pending", *,
    most: int = 10, lease: float = 30.0,
) -> list[Task]:  # fmt: skip
    return [*await queue.claim(owner, kind, most=most, most_bytes=1 << 20, lease_seconds=lease)]


async def mark(
    queue: SqlIndexQueue, model: str | None, *done: Task | Write, owner: str = "indexer"
) -> list[str]:
    writes = [Write(one.knowledge_id, one.revision) for one in done]
    return await queue.mark_indexed(writes, model, owner=owner)


async def index_all(queue: SqlIndexQueue, model: str) -> list[str]:
    """Index all that is due; the contents, in order."""
    contents: list[str] = []
    while tasks := await claim(queue, most=100):
        await mark(queue, model, *tasks)
        contents += [task.content for task in tasks]
    return contents


async def states(spaces: SpaceStore) -> dict[str, str]:
    return {space.name: state for space, state in (await spaces.roles()).items()}


async def delete(items: SqlItemStore, knowledge_id: str, owner: str = "me") -> None:
    await items.start_deletions([knowledge_id], [ids.new()], owner=owner, lease_seconds=0)


async def aged(database: Database) -> None:
    """As if all that waits had been written a while ago."""
    async with as_administrator(database) as admin:
        await admin.execute(
            "UPDATE knowledge.space_states SET pending_since = now() - interval '6 seconds'"
        )


async def test_one_call_begins_to_build_and_others_find_that(spaces):
    assert await spaces.serving() == "old"

    started = await asyncio.gather(*(spaces.start(NEW) for _ in range(5)))

    assert sorted(started) == [False] * 4 + [True]
    assert await states(spaces) == {"old": "serving", "new": "building"}


@pytest.mark.parametrize(("wanted", "in_the_way"), [(OLD, "serving"), (THIRD, "building")])
async def test_no_space_is_built_that_serves_or_beside_another(spaces, wanted, in_the_way):
    await spaces.start(NEW)

    with pytest.raises(SpaceNotReady) as raised:
        await spaces.start(wanted)

    assert raised.value.metadata["state"] == in_the_way


async def test_what_is_there_and_what_comes_waits_for_the_new_space(spaces, items, old, new):
    await store(items, *(f"before {number}" for number in range(1_200)))
    await index_all(old, "model a")
    await spaces.start(NEW)
    await store(items, "after")

    assert await index_all(old, "model a") == ["after"]
    contents = await index_all(new, "model b")

    assert sorted(contents) == sorted(["after", *(f"before {number}" for number in range(1_200))])
    both = {status.space.name: status.indexed_items for status in await spaces.spaces()}
    assert both == {"old": 1_201, "new": 1_201}


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


async def test_how_far_it_is_counts_what_nobody_has_looked_at_yet(spaces, items, new):
    await store(items, *(f"{number}" for number in range(1_100)))
    await spaces.start(NEW)
    tasks = await claim(new)
    await mark(new, "model b", *tasks)

    [_, status] = await spaces.spaces()

    assert (status.state, status.indexed_items, status.pending_items) == ("building", 10, 1_090)
    assert not status.has_caught_up


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


async def test_writes_in_flight_when_it_begins_are_not_missed(
    spaces, items, old, new, database: Database
):
    """The writer knows of no new space, and nobody sees its row before it commits."""
    await store(items, "early")
    async with as_administrator(database) as admin:
        writing = admin.transaction()
        await writing.start()
        await admin.execute(
            """WITH item AS (
                   INSERT INTO knowledge.knowledge_items
                   SELECT (jsonb_populate_record(i, jsonb_build_object(
                       'knowledge_id', gen_random_uuid(), 'content_hash', '\\x01'))).*
                   FROM knowledge.knowledge_items i
                   RETURNING knowledge_id)
               INSERT INTO knowledge.index_states (knowledge_id, revision)
               SELECT knowledge_id, 1 FROM item"""
        )
        starting = asyncio.create_task(spaces.start(NEW))
        done, _ = await asyncio.wait([starting], timeout=0.2)
        assert not done
        await writing.commit()
    assert await starting

    assert len(await index_all(new, "model b")) == 2


async def test_items_follow_the_space_that_serves(spaces, items, old, new, database: Database):
    first, second = await store(items, "one", "two")
    await index_all(old, "model a")
    await spaces.start(NEW)
    tasks = await claim(new)
    await mark(new, "model b", first)

    await aged(database)
    with pytest.raises(SpaceNotReady):
        await spaces.switch("new")
    await mark(new, None, second)
    await spaces.switch("new")
    await spaces.switch("new")

    assert len(tasks) == 2
    assert await states(spaces) == {"old": "standby", "new": "serving"}
    one, two = await items.get(first.knowledge_id), await items.get(second.knowledge_id)
    assert (one.index_state, one.embedding_model) == ("indexed", "model b")
    assert (two.index_state, two.embedding_model) == ("indexed", None)


async def test_what_was_just_written_is_pending_after_the_change_as_before(spaces, items, old, new):
    await spaces.start(NEW)
    await index_all(new, "model b")
    [write] = await store(items, "just now")
    await index_all(old, "model a")

    await spaces.switch("new")

    assert await old.pending([write]) == [write]
    assert await index_all(new, "model b") == ["just now"]
    assert await old.pending([write]) == []
    # And what comes goes to both: the one before can serve again.
    await store(items, "later")
    assert await index_all(old, "model a") == ["later"]
    await index_all(new, "model b")
    await spaces.switch("old")
    assert await states(spaces) == {"old": "serving", "new": "standby"}


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


async def test_a_space_goes_when_nobody_writes_there(spaces, items, old, new):
    await store(items, "one")
    await spaces.start(NEW)
    await claim(new, "slow", lease=0.4)

    assert await spaces.start_drop("new")
    assert not await spaces.start_drop("new")
    assert await claim(new, "other", lease=0) == []
    assert await spaces.droppable() == []
    assert await eventually(spaces.droppable) == ["new"]
    await spaces.forget("new")
    await spaces.forget("new")

    assert await states(spaces) == {"old": "serving"}
    await store(items, "two")
    assert len(await index_all(old, "model a")) == 2
    assert await spaces.start(NEW)
    assert len(await index_all(new, "model b")) == 2


@pytest.mark.parametrize(("space", "refusal"), [("old", SpaceNotReady), ("nothing", SpaceNotFound)])
async def test_what_serves_or_is_not_there_is_not_dropped(spaces, space, refusal):
    with pytest.raises(refusal) as raised:
        await spaces.start_drop(space)

    assert raised.value.metadata["space"] == space


async def test_a_space_that_is_not_there_cannot_serve(spaces):
    with pytest.raises(SpaceNotFound):
        await spaces.switch("nothing")


async def test_nothing_follows_where_there_is_no_other_space(spaces, items, database: Database):
    async def enabled() -> list[Any]:
        async with as_administrator(database) as admin:
            rows = await admin.fetch(
                """SELECT tgenabled::text FROM pg_trigger WHERE tgname LIKE 'partner_%'"""
            )
        return [row[0] for row in rows]

    assert await enabled() == ["D"] * 3
    await spaces.start(NEW)
    assert await enabled() == ["O"] * 3
    await spaces.start_drop("new")
    assert await enabled() == ["D"] * 3


async def test_documents_of_another_chunker_are_read_again(spaces, database: Database):
    async with as_administrator(database) as admin:
        for number, (chunker, state) in enumerate(
            [("words-1", "succeeded"), ("words-2", "succeeded"), (None, "failed")]
        ):
            await admin.execute(
                """INSERT INTO knowledge.documents (
                       document_id, revision, occurred_at, owner, size, version, is_latest, state,
                       namespace, document_key, filename, media_type, blob_key, sha256, metadata,
                       chunker)
                   VALUES (gen_random_uuid(), 1, now(), gen_random_uuid(), 1, 1, true, $1,
                           'n', '', 'f', 't', $2, '', '{}', $3)""",
                state, str(number), chunker,
            )  # fmt: skip

    assert await spaces.reread_documents("words-2") == 1
    assert await spaces.reread_documents("words-2") == 0

    async with as_administrator(database) as admin:
        waiting = await admin.fetch(
            "SELECT blob_key FROM knowledge.documents WHERE state = 'pending'"
        )
    assert [row[0] for row in waiting] == ["0"]
