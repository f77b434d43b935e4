"""Nothing waits for a slow embedder, and nothing is embedded twice."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from prometheus_client import REGISTRY

from kith.knowledge.v1 import index_service_pb2, index_service_pb2_grpc
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.adapters.queue import SqlIndexQueue
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.domain.items import space_of
from knowledge_svc.indexer import Indexer
from knowledge_svc.pace import Pace
from knowledge_svc.ports.items import Purpose
from tests.support.cluster import Database
from tests.support.knowledge import (
    QUICK,
    FailingEmbedder,
    Stub,
    a_request,
    an_entry,
    as_administrator,
    eventually,
    knowledge_service,
    wordllama,
)
from tests.support.services import store_of

SPACE = space_of(wordllama().model, wordllama().dimension)
# A hanging batch would have it wait for its end.
IMPATIENT = replace(QUICK, stop_seconds=0.1)
VECTOR = [1.0] + [0.0] * (SPACE.dimension - 1)


class SlowEmbedder(FailingEmbedder):
    """Takes longer over a batch than a lease lasts; counts the texts."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(lambda texts: None)
        self.seconds = seconds
        self.texts: Counter[str] = Counter()
        self.sizes: list[int] = []

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[list[float]]:
        self.texts.update(texts)
        self.sizes.append(len(texts))
        await asyncio.sleep(self.seconds)
        return [VECTOR for _ in texts]


class HangingEmbedder(FailingEmbedder):
    """Hangs for good over texts that say so."""

    def __init__(self) -> None:
        super().__init__(lambda texts: None)
        self.hangs = asyncio.Event()

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[list[float]]:
        if purpose is Purpose.DOCUMENT and any("hang" in text for text in texts):
            self.hangs.set()
            await asyncio.Event().wait()
        return await wordllama().embed(texts, purpose)


async def states(database: Database) -> Counter[str]:
    async with as_administrator(database) as admin:
        rows = await admin.fetch("SELECT state FROM knowledge.index_states")
    return Counter(row["state"] for row in rows)


async def test_a_hanging_embedder_holds_up_neither_writes_nor_deletions(database):
    embedder = HangingEmbedder()
    async with knowledge_service(database, embedder=embedder, pace=IMPATIENT) as knowledge:
        done = (await knowledge.StoreKnowledge(a_request("done"))).knowledge_id
        await eventually(partial(_all_indexed, database))
        await knowledge.StoreKnowledge(a_request("hang on"))
        await embedder.hangs.wait()

        # A deletion that its own process did not finish, so that an indexer must.
        async with store_of(database, "knowledge") as store:
            [started] = await SqlItemStore(store.functions).start_deletions(
                [done], [done], owner="dead", lease_seconds=0.0
            )
        async with asyncio.timeout(5):
            later = (await knowledge.StoreKnowledge(a_request("later"))).knowledge_id
            found = await knowledge.SearchKnowledge(
                pb.SearchKnowledgeRequest(query="later", mode=pb.SEARCH_MODE_KEYWORD)
            )
            await eventually(partial(_is_gone, database, done))

    assert started is True
    assert [hit.item.knowledge_id for hit in found.hits] == [later]


async def _all_indexed(database: Database) -> bool:
    return set(await states(database)) == {"indexed"}


async def _is_gone(database: Database, knowledge_id: str) -> bool:
    async with as_administrator(database) as admin:
        left = await admin.fetchval(
            f"""SELECT (SELECT count(*) FROM knowledge.knowledge_items
                        WHERE knowledge_id = '{knowledge_id}')
                     + (SELECT count(*) FROM knowledge.vectors_{SPACE.name}
                        WHERE knowledge_id = '{knowledge_id}')"""
        )
    return bool(left == 0)


async def test_a_text_that_hangs_does_not_hold_up_others_for_good(database):
    pace = Pace(
        lease_seconds=0.3, poll_seconds=0.05, retry_seconds=0.01, step_seconds=0.2,
    )  # fmt: skip
    async with knowledge_service(database, embedder=HangingEmbedder(), pace=pace) as knowledge:
        for content in ("hang", "one", "two", "three"):
            await knowledge.StoreKnowledge(a_request(content))

        async def others_are_indexed() -> bool:
            return (await states(database))["indexed"] == 3

        await eventually(others_are_indexed)
        assert (await states(database))["pending"] == 1


async def replica(store, embedder, **pace: float) -> Indexer:
    """An indexer as each replica of the service has one."""
    queue, index = SqlIndexQueue(store.functions), PgvectorIndex(store.functions)
    await queue.ensure_space(SPACE)
    await index.prepare(SPACE)
    items = SqlItemStore(store.functions)
    given = {"lease_seconds": 0.6, "poll_seconds": 0.05, "stop_seconds": 0.0, **pace}
    return Indexer(queue, items, index, embedder, SPACE, Pace(**given))


async def stored(store, number: int) -> None:
    items = SqlItemStore(store.functions)
    for start in range(0, number, 500):
        some = range(start, min(start + 500, number))
        await items.store([an_entry(f"text {n}") for n in some])


async def test_two_replicas_embed_nothing_twice_however_slow_they_are(database):
    """Each claim takes several times as long as its lease would last."""
    embedders = [SlowEmbedder(0.25), SlowEmbedder(0.25)]
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(store_of(database, "knowledge")) for _ in "ab"]
        await stored(stores[0], 3_000)
        replicas = [await replica(*both) for both in zip(stores, embedders, strict=True)]
        for one in replicas:
            one.start()

        await eventually(partial(_all_indexed, database), seconds=30)
        for one in replicas:
            await one.stop()

    texts = embedders[0].texts + embedders[1].texts
    assert len(texts) == 3_000
    assert set(texts.values()) == {1}
    assert min(len(one.texts) for one in embedders) > 500


async def test_after_a_crash_only_what_was_in_hand_is_embedded_again(database):
    killed, other = SlowEmbedder(0.1), SlowEmbedder()
    async with (
        store_of(database, "knowledge") as store,
        store_of(database, "knowledge") as of_other,
    ):
        await stored(store, 2_000)
        dying = await replica(store, killed)
        dying.start()

        async def is_at_it() -> bool:
            return sum(killed.sizes) > 300

        await eventually(is_at_it)
        await dying.stop()  # without time to end its batch
        survivor = await replica(of_other, other)
        survivor.start()
        await eventually(partial(_all_indexed, database), seconds=30)
        await survivor.stop()

    twice = sum((killed.texts & other.texts).values())
    assert len(killed.texts | other.texts) == 2_000
    # The batch that was being embedded, and the one that was being written.
    assert twice <= 2 * Pace().most_items


async def test_batches_end_by_tokens_and_grow_by_items(database):
    embedder = SlowEmbedder()
    async with store_of(database, "knowledge") as store:
        items = SqlItemStore(store.functions)
        await items.store([an_entry(f"{n}" + "x" * 8_000) for n in range(20)])
        one = await replica(store, embedder, most_tokens=8_100)
        one.start()
        await eventually(partial(_all_indexed, database))
        long = [*embedder.sizes]
        await stored(store, 1_000)
        await eventually(partial(_all_indexed, database), seconds=20)
        await one.stop()

    assert max(long) == 4
    assert max(embedder.sizes) == Pace().most_items
    assert set(embedder.texts.values()) == {1}


async def test_dead_letters_are_listed_with_their_reasons_and_replayed(database):
    is_ill = True
    embedder = FailingEmbedder(
        lambda texts: ValueError("indi\ngestible") if is_ill and "poison" in texts else None
    )
    async with knowledge_service(database, embedder=embedder) as knowledge:
        index = index_service_pb2_grpc.IndexServiceStub(_channel_of(knowledge))
        ids = [
            (await knowledge.StoreKnowledge(a_request(content))).knowledge_id
            for content in ("poison", "fine")
        ]
        await eventually(partial(_are, database, failed=1, indexed=1))

        listed = await index.ListDeadLetters(index_service_pb2.ListDeadLettersRequest())
        none = await index.ListDeadLetters(
            index_service_pb2.ListDeadLettersRequest(namespaces=["notes"])
        )
        status = await index.GetIndexStatus(index_service_pb2.GetIndexStatusRequest())
        is_ill = False
        replayed = await index.ReplayDeadLetters(
            index_service_pb2.ReplayDeadLettersRequest(knowledge_ids=[ids[0]])
        )
        await eventually(partial(_are, database, indexed=2))
        after = await index.GetIndexStatus(index_service_pb2.GetIndexStatusRequest())

    [letter] = listed.dead_letters
    assert (letter.knowledge_id, letter.error, letter.attempts, letter.space) == (
        ids[0], "ValueError: indi gestible", QUICK.most_attempts, SPACE.name
    )  # fmt: skip
    assert letter.failed_at.seconds >= letter.pending_since.seconds > 0
    assert (listed.total, none.total, replayed.replayed) == (1, 0, 1)
    assert (status.dead_letters, status.backlog, after.dead_letters) == (1, 0, 0)
    [space] = after.spaces
    assert (space.space, space.indexed_items, space.is_embeddable) == (SPACE.name, 2, True)
    assert space.state == index_service_pb2.SPACE_STATE_SERVING


def _channel_of(knowledge: Stub):
    return knowledge.channel


async def _are(database: Database, **expected: int) -> bool:
    return await states(database) == Counter(expected)


async def test_an_operator_sees_what_waits_even_while_the_embedder_hangs(database):
    pace = replace(IMPATIENT, watch_seconds=0.05)
    async with knowledge_service(database, embedder=HangingEmbedder(), pace=pace) as knowledge:
        await knowledge.StoreKnowledge(a_request("hang"))

        async def is_seen() -> bool:
            waited = REGISTRY.get_sample_value(
                "kith_knowledge_index_oldest_pending_seconds", {"space": SPACE.name}
            )
            return waited is not None and waited > 0.2

        await eventually(is_seen)
    for name in ("backlog", "dead_letters"):
        assert REGISTRY.get_sample_value(
            f"kith_knowledge_index_{name}", {"space": SPACE.name}
        ) is not None  # fmt: skip
