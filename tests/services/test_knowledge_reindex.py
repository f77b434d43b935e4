"""One model gives way to another while everything goes on."""

import asyncio
import dataclasses
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import index_service_pb2 as pb
from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as knowledge_pb
from knowledge_svc import __main__ as process
from knowledge_svc.adapters.pinecone import PineconePlace, open_pinecone
from svckit import logs
from svckit.errors import Unavailable
from tests.support import pinecone
from tests.support.cluster import Database
from tests.support.embedders import NamedEmbedder
from tests.support.knowledge import as_administrator, eventually, refusal
from tests.support.reindexing import (
    QUICK,
    Replica,
    contents,
    name_of,
    replace,
    replica,
    settled,
    vectors,
)

OLD, NEW = NamedEmbedder("old", 16), NamedEmbedder("new", 24)


@asynccontextmanager
async def two_replicas(database: Database, *embedders: NamedEmbedder) -> AsyncIterator[Any]:
    async with (
        replica(database, *embedders) as one,
        replica(database, *embedders) as other,
    ):
        yield one, other


class Traffic:
    """Writes, changes, deletes and searches through replicas until told to stop."""

    def __init__(self, database: Database, replicas: list[Replica], landmark: str) -> None:
        self._database = database
        self._replicas = replicas
        self._landmark = landmark
        self._stopped = False
        self._numbers = itertools.count()
        self._ids: list[str] = []
        self.searches: list[knowledge_pb.SearchKnowledgeResponse] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Traffic"]:
        async with asyncio.TaskGroup() as group:
            for one in self._replicas:
                group.create_task(self._store(one))
                group.create_task(self._delete(one))
                group.create_task(self._search(one))
            group.create_task(self._change())
            yield self
            self._stopped = True

    async def _store(self, one: Replica) -> None:
        while not self._stopped:
            self._ids += await one.store(*(f"text {next(self._numbers)}" for _ in range(5)))
            await asyncio.sleep(0.01)

    async def _change(self) -> None:
        while not self._stopped:
            if self._ids:
                text = f"changed {next(self._numbers)}"
                await replace(self._database, random.choice(self._ids), text)
            await asyncio.sleep(0.005)

    async def _delete(self, one: Replica) -> None:
        while not self._stopped:
            if len(self._ids) > 20:
                await one.delete(self._ids.pop(random.randrange(len(self._ids))))
            await asyncio.sleep(0.02)

    async def _search(self, one: Replica) -> None:
        while not self._stopped:
            self.searches.append(await one.meant(self._landmark))
            await asyncio.sleep(0)


async def ensure_whole(database: Database, embedder: NamedEmbedder) -> None:
    """Each live item has a vector of what it says now, and nothing else has one."""
    held, said = await vectors(database, name_of(embedder)), await contents(database)
    assert held.keys() == said.keys()
    for knowledge_id, content in said.items():
        assert held[knowledge_id] == pytest.approx(embedder.vector(content), abs=1e-4), content


async def test_everything_goes_on_while_a_space_is_built_cut_over_rolled_back_and_dropped(database):
    async with two_replicas(database, OLD, NEW) as (one, other):
        await one.store("landmark", *(f"before {number}" for number in range(1_500)))
        await settled(database)
        async with Traffic(database, [one, other], "landmark").running() as traffic:
            assert (await other.start()).started
            await one.caught_up()
            await other.cut_over(name_of(NEW))
            half = len(traffic.searches)
            await asyncio.sleep(0.3)
            await other.caught_up(name_of(OLD))
            rolled_back = await one.index.RollBack(pb.RollBackRequest())
            await asyncio.sleep(0.3)
            await one.caught_up(name_of(NEW))
            await one.cut_over(name_of(NEW))
        await settled(database)
        await ensure_whole(database, OLD)
        await ensure_whole(database, NEW)
        assert rolled_back.space.space == name_of(OLD)
        # Each search compared a query with vectors of the same model: the landmark is itself.
        assert half > 10 and len(traffic.searches) > half + 10
        for found in traffic.searches:
            assert not found.degraded
            assert found.hits[0].item.content == "landmark"
            assert found.hits[0].scores.semantic == pytest.approx(1.0, abs=1e-4)

        await one.index.DropSpace(pb.DropSpaceRequest(space=name_of(OLD)))
        await eventually(lambda: is_gone(database, name_of(OLD)))
        [found] = (await one.meant("landmark")).hits
        assert found.item.embedding_model == "new"
        assert found.item.index_state == knowledge_pb2.INDEX_STATE_INDEXED


async def has_vectors(database: Database, embedder: NamedEmbedder, number: int) -> bool:
    return len(await vectors(database, name_of(embedder))) == number


async def is_gone(database: Database, space: str) -> bool:
    async with as_administrator(database) as admin:
        return bool(
            await admin.fetchval(
                """SELECT to_regclass('knowledge.vectors_' || $1) IS NULL AND NOT EXISTS (
                       SELECT FROM knowledge.spaces s WHERE s.space = $1)""",
                space,
            )
        )


async def test_both_spaces_may_be_in_one_pinecone_index(database, monkeypatch):
    old, new = NamedEmbedder("old", 8), NamedEmbedder("new", 8)
    stand_in = pinecone.Pinecone()
    async with stand_in.running() as url, AsyncExitStack() as opened:
        monkeypatch.setenv("PINECONE_CONTROLLER_HOST", url)
        stand_in.add("kith", 8)
        replicas = []
        for _ in range(2):
            index = await opened.enter_async_context(
                open_pinecone(pinecone.KEY, PineconePlace("kith"))
            )
            replicas.append(
                await opened.enter_async_context(
                    replica(database, old, new, index=lambda _, index=index: index)
                )
            )
        one, other = replicas
        await one.store("landmark", *(f"before {number}" for number in range(50)))
        await settled(database)
        async with Traffic(database, replicas, "landmark").running() as traffic:
            await one.start()
            await one.caught_up()
            await other.cut_over(name_of(new))
            await asyncio.sleep(0.2)
        await settled(database)
        said = await contents(database)

        async def shown(embedder: NamedEmbedder, ids: set[str]) -> bool:
            await one.meant("landmark")  # the stand-in shows late what was deleted
            return stand_in.indexes["kith"].shown.get(name_of(embedder), {}).keys() == ids

        for embedder in (old, new):
            await eventually(partial(shown, embedder, {*said}))
        for found in traffic.searches:
            assert not found.degraded
            assert found.hits[0].scores.semantic == pytest.approx(1.0, abs=1e-4)
        await one.index.DropSpace(pb.DropSpaceRequest(space=name_of(old)))
        await eventually(lambda: is_gone(database, name_of(old)))
        await eventually(partial(shown, old, set()))


async def test_each_step_is_refused_where_it_cannot_be_taken(database):
    async with replica(database, OLD) as alone:
        for call, reason in (
            (alone.start(), "NOTHING_TO_REINDEX"),
            (alone.caught_up(), "SPACE_NOT_FOUND"),
            (alone.cut_over("nothing"), "SPACE_NOT_FOUND"),
            (alone.index.RollBack(pb.RollBackRequest()), "SPACE_NOT_READY"),
            (alone.index.DropSpace(pb.DropSpaceRequest(space=name_of(OLD))), "SPACE_NOT_READY"),
            (
                alone.reread(),
                "NOTHING_TO_REINDEX",
            ),
        ):
            assert (await refusal(call))[1] == reason
        code, _, bad = await refusal(alone.cut_over("no such name"))
        assert (code, bad) == (grpc.StatusCode.INVALID_ARGUMENT, ["space"])
        # That a space serves already is no mistake.
        assert (await alone.cut_over(name_of(OLD))).state == pb.SPACE_STATE_SERVING


async def test_a_replica_without_the_new_embedder_finds_by_words_and_leaves_the_queue_alone(
    database,
):
    async with replica(database, OLD, NEW) as one, replica(database, OLD) as other:
        await one.store("landmark")
        await settled(database)
        await one.start()
        await one.caught_up()
        await one.cut_over(name_of(NEW))

        found = await other.knowledge.SearchKnowledge(
            knowledge_pb.SearchKnowledgeRequest(query="landmark")
        )
        code, reason, _ = await refusal(other.meant("landmark"))
        await other.store("later")
        await settled(database)
        statuses = (await other.index.StartReindex(pb.StartReindexRequest())).space

    assert found.degraded and len(found.hits) == 1
    assert (code, reason) == (
        grpc.StatusCode.UNAVAILABLE, "SEMANTIC_SEARCH_UNAVAILABLE"
    )  # fmt: skip
    assert len(await vectors(database, name_of(NEW))) == 2
    assert (statuses.space, statuses.state) == (name_of(OLD), pb.SPACE_STATE_STANDBY)


async def test_what_is_given_up_in_a_space_being_built_is_told_and_replayed(database):
    new = NamedEmbedder("new", 24, fault=ValueError("too odd"))
    async with replica(database, OLD, new, pace=dataclasses.replace(QUICK, most_attempts=1)) as one:
        stored = await one.store("text 1", "text 2")
        await settled(database)
        await one.start()
        given_up = (await one.caught_up())[-1].space.failed_items

        listed = await one.index.ListDeadLetters(pb.ListDeadLettersRequest(page_size=1))
        rest = await one.index.ListDeadLetters(
            pb.ListDeadLettersRequest(page_size=1, page_token=listed.next_page_token)
        )
        new.fault = None
        replayed = await one.index.ReplayDeadLetters(pb.ReplayDeadLettersRequest(all=True))
        await settled(database)
        after = await one.index.GetIndexStatus(pb.GetIndexStatusRequest())

    letters = [*listed.dead_letters, *rest.dead_letters]
    assert {letter.knowledge_id for letter in letters} == {*stored}
    assert {(letter.space, letter.error) for letter in letters} == {
        (name_of(new), "ValueError: too odd")
    }
    assert (given_up, listed.total, replayed.replayed) == (2, 2, 2)
    assert [space.indexed_items for space in after.spaces] == [2, 2]


async def test_an_embedder_that_is_away_holds_up_its_own_space_alone(database):
    away = NamedEmbedder("new", 24, fault=Unavailable("away"))
    async with replica(database, OLD, away) as one:
        await one.store("landmark", "other")
        await eventually(lambda: has_vectors(database, OLD, 2))
        await one.start()
        await one.store("later")
        await eventually(lambda: has_vectors(database, OLD, 3))

        found = await one.meant("landmark")
        async with as_administrator(database) as admin:
            await admin.execute(
                "UPDATE knowledge.space_states SET pending_since = now() - interval '6 seconds'"
            )
        _, reason, _ = await refusal(one.cut_over(name_of(away)))
        away.fault = None
        watched = await one.caught_up()
        await settled(database)

    assert found.hits[0].item.content == "landmark"
    assert reason == "SPACE_NOT_READY"
    assert [answer.caught_up for answer in watched] == [False] * (len(watched) - 1) + [True]
    await ensure_whole(database, away)


async def test_after_the_change_the_new_embedder_alone_is_enough(database):
    async with replica(database, OLD, NEW) as one:
        await one.store("landmark")
        await settled(database)
        await one.start()
        await one.caught_up()
        await one.cut_over(name_of(NEW))

    async with replica(database, NEW) as later:
        assert (await later.meant("landmark")).hits[0].item.content == "landmark"


async def test_a_process_with_another_model_ends_with_what_to_do(database, monkeypatch, capsys):
    async with replica(database, OLD) as one:
        await one.store("landmark")
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    monkeypatch.setenv("KITH_DATABASE_URL", database.url("kith_knowledge"))
    monkeypatch.setenv("KITH_KNOWLEDGE_BIND", "127.0.0.1:0")

    with pytest.raises(SystemExit) as ended:
        await process.main()

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("kith knowledge: the vectors of this database are of old with 16 dim")
    assert "KITH_NEXT_EMBEDDER" in said and "`kith knowledge reindex`" in said
    assert said.count("\n") == 1
