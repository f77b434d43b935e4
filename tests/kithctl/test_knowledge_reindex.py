"""`kith knowledge reindex` and what follows it."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
from prometheus_client import REGISTRY

from knowledge_svc.__main__ import assemble
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.backends import Backends
from svckit import serve
from svckit.errors import Unavailable
from svckit.stores import Store
from tests.support.blobs import blobs_of
from tests.support.cluster import Database
from tests.support.command import kith
from tests.support.embedders import NamedEmbedder
from tests.support.knowledge import eventually
from tests.support.reindexing import QUICK, Replica, name_of, settled
from tests.support.services import channel_to, running

OLD, NEW = NamedEmbedder("old", 16), NamedEmbedder("new", 24)


@pytest.fixture
async def address(database: Database) -> AsyncIterator[str]:
    """A knowledge service with a next embedder and forty items."""

    def assembled(store: Store) -> serve.Service:
        index = PgvectorIndex(store.functions)
        return assemble(store, Backends(index, OLD, blobs_of(database), next_embedder=NEW), QUICK)

    async with running(assembled, database, "knowledge") as address:
        async with channel_to(address) as channel:
            one = Replica.over(channel)
            await eventually(partial(one.store, *(f"text {number}" for number in range(40))))
            await settled(database)
        yield address


async def test_a_model_gives_way_to_the_next_by_commands(address, tmp_path):
    run = partial(kith, "knowledge", home=tmp_path, KITH_KNOWLEDGE_ADDRESS=address)

    built = await run("reindex")
    serving = await run("cut-over")
    back = await run("roll-back")
    forth = await run("cut-over", name_of(NEW))
    dropped = await run("drop", name_of(OLD))

    assert [one.status for one in (built, serving, back, forth, dropped)] == [0] * 5
    last = built.summary
    assert (last["caught_up"], last["indexed_items"], last["pending_items"]) == (True, 40, 0)
    assert (serving.summary["space"], serving.summary["state"]) == (name_of(NEW), "serving")
    assert back.summary["space"] == name_of(OLD)
    assert forth.summary["space"] == name_of(NEW)
    assert dropped.summary == {"space": name_of(OLD), "dropped": True}


async def test_what_cannot_be_is_one_line(address, tmp_path):
    run = partial(kith, "knowledge", home=tmp_path, KITH_KNOWLEDGE_ADDRESS=address)

    refused = [
        await run("cut-over"), await run("roll-back"), await run("drop", name_of(OLD)),
        await run("reindex", "--documents"),
    ]  # fmt: skip

    assert [(one.status, one.errors.count("\n")) for one in refused] == [(1, 1)] * 4


async def test_a_service_that_stops_is_no_space_that_has_caught_up(database, tmp_path):
    away = NamedEmbedder("new", 24, fault=Unavailable("the embedder is away"))

    def assembled(store: Store) -> serve.Service:
        index = PgvectorIndex(store.functions)
        return assemble(store, Backends(index, OLD, blobs_of(database), next_embedder=away), QUICK)

    async with running(assembled, database, "knowledge") as address:
        async with channel_to(address) as channel:
            await eventually(partial(Replica.over(channel).store, "The boiler."))
        watching = asyncio.create_task(
            kith("knowledge", "reindex", home=tmp_path, KITH_KNOWLEDGE_ADDRESS=address)
        )
        await eventually(_is_watched)
    watched = await watching

    assert (watched.status, watched.summary["caught_up"]) == (1, False)
    assert "stopped" in watched.errors
    assert watched.errors.count("\n") == 1


async def _is_watched() -> bool:
    """Whether somebody has a stream of the service that was assembled last."""
    return bool(REGISTRY.get_sample_value("kith_rpc_in_flight", {"bound": "stream"}))
