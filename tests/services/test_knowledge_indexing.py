"""How the indexer brings vectors in step with items, whatever happens in between."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY

from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.__main__ import assemble
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.adapters.wordllama import WordLlamaEmbedder
from knowledge_svc.backends import Backends
from knowledge_svc.domain.items import SpaceMismatch, Task, Vector, space_of
from knowledge_svc.indexer import Indexer
from knowledge_svc.pace import Pace
from svckit.errors import Unavailable
from tests.support.blobs import blobs_of
from tests.support.cluster import Database
from tests.support.knowledge import (
    QUICK,
    FailingEmbedder,
    GatedIndex,
    Stub,
    a_request,
    an_entry,
    as_administrator,
    eventually,
    knowledge_service,
    wordllama,
)
from tests.support.services import store_of

PENDING, INDEXED, FAILED = (
    knowledge_pb2.INDEX_STATE_PENDING,
    knowledge_pb2.INDEX_STATE_INDEXED,
    knowledge_pb2.INDEX_STATE_FAILED,
)
SPACE = space_of(WordLlamaEmbedder.model, WordLlamaEmbedder.dimension)


async def store(knowledge: Stub, *contents: str) -> list[str]:
    answer = await knowledge.BatchStoreKnowledge(
        pb.BatchStoreKnowledgeRequest(requests=map(a_request, contents))
    )
    return [result.response.knowledge_id for result in answer.results]


async def item(knowledge: Stub, knowledge_id: str) -> knowledge_pb2.Knowledge:
    request = pb.GetKnowledgeRequest(knowledge_id=knowledge_id)
    return (await knowledge.GetKnowledge(request)).item


async def reaches(knowledge: Stub, state: int, ids: Sequence[str]) -> None:
    async def reached() -> bool:
        return all([(await item(knowledge, one)).index_state == state for one in ids])

    await eventually(reached)


async def vectors(database: Database) -> Counter[str]:
    """How many vectors there are of each item."""
    async with as_administrator(database) as admin:
        rows = await admin.fetch(
            f"SELECT knowledge_id::text AS id FROM knowledge.vectors_{SPACE.name}"
        )
    return Counter(row["id"] for row in rows)


async def test_stored_items_are_indexed_without_being_asked_for(database):
    async with knowledge_service(database, pace=Pace(poll_seconds=60)) as knowledge:
        stored = await store(knowledge, *(f"note {n}" for n in range(300)))

        await reaches(knowledge, INDEXED, stored)

        assert await vectors(database) == Counter(stored)
        assert (await item(knowledge, stored[0])).embedding_model == SPACE.model


async def test_what_another_process_left_is_noticed(database):
    async with store_of(database, "knowledge") as before:
        [left] = await SqlItemStore(before.functions).store([an_entry("left over")])

    async with knowledge_service(database) as knowledge:
        await reaches(knowledge, INDEXED, [left.knowledge_id])


async def test_a_poisoned_item_fails_alone_and_in_the_end_for_good(database):
    embedder = FailingEmbedder(
        lambda texts: ValueError("indigestible") if any("poison" in t for t in texts) else None
    )
    async with knowledge_service(database, embedder=embedder) as knowledge:
        contents = [*(f"a {n}" for n in range(40)), "poison", *(f"b {n}" for n in range(40))]
        stored = await store(knowledge, *contents)
        poisoned = stored.pop(40)

        await reaches(knowledge, INDEXED, stored)
        await reaches(knowledge, FAILED, [poisoned])
        by_words = await knowledge.SearchKnowledge(
            pb.SearchKnowledgeRequest(query="poison", mode=pb.SEARCH_MODE_KEYWORD)
        )

    assert embedder.calls.count(["poison"]) == QUICK.most_attempts
    assert [hit.item.knowledge_id for hit in by_words.hits] == [poisoned]
    async with as_administrator(database) as admin:
        state = await admin.fetchrow(
            "SELECT last_error, attempts FROM knowledge.index_states WHERE state = 'failed'"
        )
    assert state["last_error"] == "ValueError: indigestible"
    assert state["attempts"] == QUICK.most_attempts


async def test_what_has_no_vector_is_indexed_and_found_by_words_only(database):
    class NothingToEmbed(FailingEmbedder):
        async def embed(self, texts: Sequence[str], purpose: Any) -> list[list[float]]:
            return [
                [0.0] * self.dimension if text == "empty words" else vector
                for text, vector in zip(texts, await wordllama().embed(texts, purpose), strict=True)
            ]

    async with knowledge_service(
        database, embedder=NothingToEmbed(lambda texts: None)
    ) as knowledge:
        [empty, full] = await store(knowledge, "empty words", "full words")
        await reaches(knowledge, INDEXED, [empty, full])
        hits = {
            mode: (
                await knowledge.SearchKnowledge(pb.SearchKnowledgeRequest(query="words", mode=mode))
            ).hits
            for mode in (pb.SEARCH_MODE_KEYWORD, pb.SEARCH_MODE_SEMANTIC, pb.SEARCH_MODE_HYBRID)
        }

        assert (await item(knowledge, empty)).embedding_model == ""

    found = {mode: {hit.item.knowledge_id for hit in some} for mode, some in hits.items()}
    assert found[pb.SEARCH_MODE_KEYWORD] == found[pb.SEARCH_MODE_HYBRID] == {empty, full}
    assert found[pb.SEARCH_MODE_SEMANTIC] == {full}
    assert list(await vectors(database)) == [full]


async def test_an_outage_puts_everything_off_and_gives_nothing_up(database):
    is_away = True
    embedder = FailingEmbedder(lambda texts: Unavailable("away") if is_away else None)
    async with knowledge_service(database, embedder=embedder) as knowledge:
        stored = await store(knowledge, "one", "two", "three")

        async def tried() -> bool:
            return len(embedder.calls) > 2

        await eventually(tried)
        states = [(await item(knowledge, one)).index_state for one in stored]
        is_away = False
        await reaches(knowledge, INDEXED, stored)

    assert states == [PENDING] * 3
    assert len(embedder.calls[0]) == 3


async def test_a_text_that_looks_like_an_outage_does_not_hold_up_the_others(database):
    embedder = FailingEmbedder(lambda texts: Unavailable("away") if "odd" in texts else None)
    async with knowledge_service(database, embedder=embedder) as knowledge:
        odd, *others = await store(knowledge, "odd", *(f"note {n}" for n in range(7)))

        await reaches(knowledge, INDEXED, others)

        assert (await item(knowledge, odd)).index_state == PENDING


class ForgetfulQueue(SqlIndexQueue):
    """As for a process that was stopped for a while: no lease is renewed."""

    async def renew(self, owner: str, ids: Sequence[str], *, lease_seconds: float) -> None:
        if not lease_seconds:
            await super().renew(owner, ids, lease_seconds=lease_seconds)


async def indexing(
    index: Any, store: Any, queue: type[SqlIndexQueue] = SqlIndexQueue, **pace: Any
) -> Indexer:
    """An indexer of its own, started, on a prepared space."""
    work, items = queue(store.functions), SqlItemStore(store.functions)
    await work.ensure_space(SPACE)
    await index.prepare(SPACE)
    given = {"lease_seconds": 0.3, "poll_seconds": 0.02, "stop_seconds": 0.0, **pace}
    indexer = Indexer(work, items, index, wordllama(), SPACE, Pace(**given))
    indexer.start()
    return indexer


async def indexed(items: SqlItemStore, knowledge_id: str) -> None:
    async def is_indexed() -> bool:
        return (await items.get(knowledge_id)).index_state == "indexed"

    await eventually(is_indexed)


async def test_an_indexer_killed_before_it_marked_leaves_one_vector_and_an_indexed_item(database):
    async with store_of(database, "knowledge") as store:
        items = SqlItemStore(store.functions)
        gated = GatedIndex(PgvectorIndex(store.functions))
        killed = await indexing(gated, store)
        [stored] = await items.store([an_entry("twice")])
        await gated.upserted.wait()

        await killed.stop()
        before = (await items.get(stored.knowledge_id)).index_state
        other = await indexing(PgvectorIndex(store.functions), store)

        await indexed(items, stored.knowledge_id)
        await other.stop()

    assert before == "pending"
    assert await vectors(database) == Counter([stored.knowledge_id])


async def test_two_indexers_at_the_same_item_leave_one_vector(database):
    """The lease of the first ended while it was at it."""
    async with store_of(database, "knowledge") as store:
        items = SqlItemStore(store.functions)
        gated = GatedIndex(PgvectorIndex(store.functions))
        slow = await indexing(gated, store, ForgetfulQueue)
        [stored] = await items.store([an_entry("slowly")])
        await gated.upserted.wait()
        quick = await indexing(PgvectorIndex(store.functions), store)

        await indexed(items, stored.knowledge_id)
        gated.may_return.set()
        await slow.progressed(5)
        after = (await items.get(stored.knowledge_id)).index_state
        for indexer in (slow, quick):
            await indexer.stop()

    assert after == "indexed"
    assert await vectors(database) == Counter([stored.knowledge_id])


@pytest.mark.parametrize("survives", [True, False])
async def test_an_item_deleted_while_it_is_indexed_leaves_no_vector(database, survives):
    """Whether the indexer that was at it goes on or is killed."""
    gates: list[GatedIndex] = []

    def gated(index: Any) -> GatedIndex:
        gates.append(GatedIndex(index))
        return gates[-1]

    pace = Pace(lease_seconds=0.5, poll_seconds=0.02, stop_seconds=0.0)
    async with knowledge_service(database, index=gated, pace=pace) as knowledge:
        [stored] = await store(knowledge, "soon gone")
        await gates[0].upserted.wait()

        deleted = await knowledge.DeleteKnowledge(pb.DeleteKnowledgeRequest(knowledge_id=stored))
        if survives:
            gates[0].may_return.set()
            await nothing_is_left(database)
    if not survives:
        async with knowledge_service(database):
            await nothing_is_left(database)

    assert deleted.deleted
    assert not await vectors(database)


async def nothing_is_left(database: Database) -> None:
    async def gone() -> bool:
        async with as_administrator(database) as admin:
            return not await admin.fetchval("SELECT count(*) FROM knowledge.knowledge_items")

    await eventually(gone)


async def test_a_deletion_that_could_not_reach_the_index_is_finished_later(database):
    gates: list[GatedIndex] = []

    def gated(index: Any) -> GatedIndex:
        gates.append(GatedIndex(index))
        gates[-1].may_return.set()
        return gates[-1]

    async with knowledge_service(database, index=gated) as knowledge:
        [stored] = await store(knowledge, "to be gone")
        await reaches(knowledge, INDEXED, [stored])
        gates[0].fault = Unavailable("no index")

        deleted = await knowledge.DeleteKnowledge(pb.DeleteKnowledgeRequest(knowledge_id=stored))
        left = await vectors(database)
        async with as_administrator(database) as admin:
            # As if the time that the deletion had were over.
            await admin.execute("UPDATE knowledge.index_states SET next_attempt_at = now()")
        gates[0].fault = None
        await nothing_is_left(database)

    assert deleted.deleted
    assert left == Counter([stored])
    assert not await vectors(database)


async def test_an_indexer_outlives_what_it_did_not_expect(database):
    class StumblingIndex(GatedIndex):
        async def upsert(self, space: str, vectors: Sequence[Vector]) -> None:
            if self.upserted.is_set():
                return await super().upsert(space, vectors)
            self.upserted.set()
            raise asyncio.InvalidStateError

    class StumblingQueue(SqlIndexQueue):
        claims = 0

        async def claim(self, *given: Any, **named: Any) -> list[Task]:
            self.claims += 1
            if self.claims < 3:
                raise RuntimeError("who would have thought")
            return await super().claim(*given, **named)

    async with store_of(database, "knowledge") as store:
        items, queue = SqlItemStore(store.functions), StumblingQueue(store.functions)
        index = StumblingIndex(PgvectorIndex(store.functions))
        index.may_return.set()
        await index.prepare(SPACE)
        [stored] = await items.store([an_entry("later")])
        indexer = Indexer(queue, items, index, wordllama(), SPACE, QUICK)
        indexer.start()

        await indexed(items, stored.knowledge_id)
        await indexer.stop()

    assert queue.claims >= 3
    assert await vectors(database) == Counter([stored.knowledge_id])


async def test_metrics_tell_what_waits(database):
    embedder = FailingEmbedder(lambda texts: Unavailable("away"))
    async with knowledge_service(database, embedder=embedder) as knowledge:
        await store(knowledge, "one", "two")

    async with store_of(database, "knowledge") as left:
        backlog = await SqlIndexQueue(left.functions).backlog()

    assert backlog.rows == 2
    names = {metric.name for metric in REGISTRY.collect()}
    assert {
        "kith_knowledge_index_backlog",
        "kith_knowledge_index_oldest_pending_seconds",
        "kith_knowledge_index_batch_items",
        "kith_knowledge_index_step_seconds",
    } <= names


async def test_vectors_of_another_model_refuse_the_start_with_a_clear_line(database):
    async with store_of(database, "knowledge") as store:
        index = PgvectorIndex(store.functions)
        await SqlIndexQueue(store.functions).ensure_space(space_of("another-model", 1024))

        with pytest.raises(SpaceMismatch) as raised:
            await assemble(store, Backends(index, wordllama(), blobs_of(database))).prepare()

    assert str(raised.value) == (
        "the vectors of this database are of another-model with 1024 dimensions "
        "(another_model_1024_whole_1) and configured is wordllama-l2-supercat with 256 "
        "dimensions (wordllama_l2_supercat_256_whole_1): set KITH_EMBEDDER (KITH_VOYAGE_MODEL, "
        "KITH_VOYAGE_DIMENSION) back to what made them; to change over, set KITH_NEXT_EMBEDDER "
        "(KITH_NEXT_VOYAGE_MODEL, KITH_NEXT_VOYAGE_DIMENSION) to the new model, start again, and "
        "run `kith knowledge reindex`"
    )
