"""Killed at any step of a change of models, the service finishes it after a restart."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import index_service_pb2 as pb
from tests.support import voyage
from tests.support.cluster import Database
from tests.support.dying import dying_service
from tests.support.knowledge import as_administrator, eventually
from tests.support.reindexing import Replica, contents, settled, vectors

pytestmark = pytest.mark.kills

OLD, NEW = "wordllama_l2_supercat_256_whole_1", "voyage_4_256_whole_1"
# What has no answer to tell that it was done is done again.
_AGAIN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


@pytest.fixture
async def next_model() -> AsyncIterator[dict[str, str]]:
    """What configures a next embedder."""
    model = voyage.Voyage()
    async with model.running() as url:
        yield {
            "KITH_EMBEDDER": "wordllama", "VOYAGE_API_KEY": voyage.KEY, "KITH_VOYAGE_URL": url,
            "KITH_NEXT_EMBEDDER": "voyage", "KITH_NEXT_VOYAGE_MODEL": "voyage-4",
            "KITH_NEXT_VOYAGE_DIMENSION": "256",
        }  # fmt: skip


async def change(database: Database, one: Replica, leaving: str) -> None:
    """All that is left to do."""
    if await serving(database) == OLD:
        await one.index.StartReindex(pb.StartReindexRequest(), wait_for_ready=True)
        await one.caught_up(NEW)
        await one.delete(leaving)
        await eventually(partial(is_deleted, database, one, leaving))
        await one.cut_over(NEW)
    try:
        await one.index.DropSpace(pb.DropSpaceRequest(space=OLD))
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise


async def serving(database: Database) -> str | None:
    async with as_administrator(database) as admin:
        name: str | None = await admin.fetchval(
            "SELECT space FROM knowledge.spaces WHERE state = 'serving'"
        )
    return name


async def is_deleted(database: Database, one: Replica, knowledge_id: str) -> bool:
    await is_ready(one)  # fails when the service is gone
    return knowledge_id not in await contents(database)


async def changed(database: Database) -> bool:
    async with as_administrator(database) as admin:
        rows = await admin.fetch("SELECT space, state FROM knowledge.spaces")
    return [tuple(row) for row in rows] == [(NEW, "serving")]


@pytest.mark.parametrize(
    ("at", "when"),
    [
        ("sql.start_reindex", "after"),
        ("index.upsert", "before"),
        ("index.upsert", "after"),
        ("sql.mark_indexed", "before"),
        ("sql.start_deletions", "after"),
        ("sql.finish_deletions", "before"),
        ("sql.forget_removals", "before"),
        ("sql.switch_spaces", "before"),
        ("sql.switch_spaces", "after"),
        ("sql.start_drop", "after"),
        ("index.drop", "before"),
        ("index.drop", "after"),
        ("sql.forget_space", "after"),
    ],
)
async def test_a_change_of_models_is_finished_wherever_the_service_dies(
    database: Database, next_model: dict[str, str], at: str, when: Any
) -> None:
    async with dying_service(database) as alive:
        one = Replica.over(alive.channel)
        await alive.channel.channel_ready()
        await eventually(partial(is_ready, one))
        stored = await one.store(*(f"text {number}" for number in range(40)))
        await settled(database)
    async with dying_service(database, at=at, when=when, **next_model) as mortal:
        try:
            await change(database, Replica.over(mortal.channel), stored[0])
        except grpc.aio.AioRpcError as error:
            assert error.code() in _AGAIN, error
        await mortal.gone()

    async with dying_service(database, **next_model) as reborn:
        one = Replica.over(reborn.channel)
        await eventually(partial(is_ready, one))
        await change(database, one, stored[0])
        await eventually(partial(changed, database), seconds=20)
        await settled(database)
        assert (await contents(database)).keys() == {*stored[1:]}
        assert (await vectors(database, NEW)).keys() == {*stored[1:]}
        found = await one.meant("text 7")
        assert found.hits[0].item.embedding_model == "voyage-4"


async def is_ready(one: Replica) -> bool:
    try:
        await one.reread()
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
            raise
    return True
