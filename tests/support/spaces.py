"""Two spaces and their queues, for the contract tests of both."""

import pytest

from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.adapters.sql_spaces import SqlSpaceStore
from knowledge_svc.domain.items import Kind, Space, Stored, Task, Write
from knowledge_svc.ports.spaces import SpaceStore
from svckit import ids, sql
from tests.support.knowledge import an_entry

OLD = Space("old", "model a", 4, "whole-1")
NEW = Space("new", "model b", 8, "whole-1")


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
    """Keep items with these contents."""
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
    """Tasks of a space that are due."""
    return [*await queue.claim(owner, kind, most=most, most_bytes=1 << 20, lease_seconds=lease)]


async def mark(
    queue: SqlIndexQueue, model: str | None, *done: Task | Write, owner: str = "indexer"
) -> list[str]:
    """Say that these are in the space; the ids of those that are gone."""
    writes = [Write(one.knowledge_id, one.revision) for one in done]
    return await queue.mark_indexed(writes, model, owner=owner)


async def index_all(queue: SqlIndexQueue, model: str) -> list[str]:
    """Index all that is due; the contents, in order."""
    contents: list[str] = []
    while tasks := await claim(queue, most=100):
        await mark(queue, model, *tasks)
        contents += [task.content for task in tasks]
    return contents


async def delete(items: SqlItemStore, knowledge_id: str, owner: str = "me") -> None:
    """Begin a deletion that is due at once."""
    await items.start_deletions([knowledge_id], [ids.new()], owner=owner, lease_seconds=0)
