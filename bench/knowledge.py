"""Search over 100,000 items beside raw pgvector queries of the same shape, in a Kith of its own.

What is compared is called in turns, so that both sides meet the same machine.
"""

import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from bench.echo import echo_call
from bench.floors import speak_vectors
from bench.knowledge_corpus import ITEMS, LOAD, PEOPLE, SPACE, TABLE, Corpus
from bench.measure import Figures, Recall, figures, in_turns
from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from kith.knowledge.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.domain.items import Vector
from knowledge_svc.ports.items import Purpose
from svckit import ids, sql
from tests.support.services import channel_to
from tests.support.up import RunningKith, kith_up

SECONDS, ROUNDS = 3.0, 4
# As `nearest_vectors` has them.
EF_SEARCH, SCANNED = 200, 50_000
# What a semantic and a hybrid search look for first.
PAGE, HYBRID_PAGE = 10, 200
LARGE = 20_000
BATCH, BATCHES, TURNS = 128, 4, 4

RPC = "floor: empty RPC in the kit"
RAW_INSERT = "floor: raw multi-row insert into the HNSW table, 128 rows (rows)"
UPSERT = "upsert of vectors, 128 rows (rows)"
WHOLE = "items stored, embedded and indexed (rows)"


def whose(count: int | None) -> str:
    """Whose items are searched, in words."""
    return f", a person of {count:,}" if count else f", {ITEMS:,} items"


def raw(page: int, count: int | None) -> str:
    """A floor's name."""
    return f"floor: raw pgvector, nearest {page}{whose(count)}"


def bound(page: int, count: int | None) -> str:
    """The name of what a search may take."""
    return f"bound: 1.5 times nearest {page} and an empty RPC{whose(count)}"


def searching(mode: str, count: int | None) -> str:
    """A search's name."""
    return f"search {mode.lower()}{whose(count)}"


def compared(page: int, count: int | None) -> str:
    """The name of the search that a floor is the floor of."""
    return searching("SEMANTIC" if page == PAGE else "HYBRID", count)


SHAPES = [(page, count) for page in (PAGE, HYBRID_PAGE) for count in (None, LARGE)]
RATIOS = (
    *((compared(*shape), bound(*shape)) for shape in SHAPES),
    (UPSERT, RAW_INSERT),
    (WHOLE, RAW_INSERT),
)  # fmt: skip

INSERT = f"""
INSERT INTO {TABLE} (knowledge_id, occurred_at, namespace, embedding)
SELECT gen_random_uuid(), now(), 'raw', v::extensions.vector FROM unnest($1::text[]) v
"""
NEAREST = f"""
SELECT knowledge_id FROM {TABLE} WHERE {{}}
ORDER BY embedding OPERATOR(extensions.<=>) $1 LIMIT {{}}
"""

Rows = AsyncIterator[tuple[str, Figures | Recall]]


async def rows(_: RunningKith) -> Rows:
    """Recall, latencies, throughput."""
    with (
        tempfile.TemporaryDirectory(prefix="kith-bench-") as folder,
        kith_up(Path(folder) / "home", {"KITH_LOG_LEVEL": "warning"}) as running,
    ):
        async with channel_to(running.address("knowledge")) as channel:
            url = running.addresses["database_url"]
            database = await asyncpg.connect(url, timeout=10)
            await speak_vectors(database)
            bench = Bench(Corpus(), database, KnowledgeServiceStub(channel))
            try:
                yield await bench.load()
                for part in (bench.recalls, bench.latencies):
                    async for name, found in part():
                        yield name, found
                async with sql.open_pool(url) as pool:
                    async for name, found in bench.throughput(
                        sql.AsyncpgFunctions(pool, "knowledge")
                    ):
                        yield name, found
            finally:
                await database.close()


class Bench:
    """A Kith with everything in it, and what is measured of it."""

    def __init__(self, corpus: Corpus, database: Any, stub: Any) -> None:
        self._corpus = corpus
        self._database = database
        self._stub = stub

    async def load(self) -> tuple[str, Figures]:
        """Put everything in, past the service; the index is built as the service builds it."""
        for columns in await self._corpus.parts():
            await self._database.execute(LOAD, *columns)
        before = time.perf_counter()
        await self._database.execute(f"SELECT knowledge.index_vectors('{SPACE.name}')")
        built = time.perf_counter() - before
        await self._database.execute(f"VACUUM ANALYZE {TABLE}, knowledge.knowledge_items")
        return f"the HNSW index built at {ITEMS:,} (rows)", figures([built], built, ITEMS)

    async def search(self, mode: str, count: int | None, question: str | None = None) -> Any:
        """One search over gRPC."""
        people = [PEOPLE[count]] if count else []
        return await self._stub.SearchKnowledge(
            pb.SearchKnowledgeRequest(
                query=question or self._corpus.chooser.choice(self._corpus.questions),
                mode=pb.SearchMode.Value(f"SEARCH_MODE_{mode}"),
                filter=knowledge_pb2.KnowledgeFilter(subject_ids=people),
            )
        )

    async def recalls(self) -> Rows:
        """How much of what is nearest indeed a search by meaning finds."""
        questions = self._corpus.questions
        for count in (None, *PEOPLE):
            right, least = 0, PAGE
            for question in questions:
                hits = (await self.search("SEMANTIC", count, question)).hits
                person = PEOPLE[count] if count else None
                nearest = await self._corpus.nearest(question, person, PAGE)
                right += len(nearest & {hit.item.knowledge_id for hit in hits})
                least = min(least, len(hits))
            share = right / (len(questions) * PAGE)
            yield f"recall of the nearest {PAGE}{whose(count)}", Recall(share, least)

    async def latencies(self) -> Rows:
        """The floors, what may be made of them, and searches of each kind."""
        searches = {
            searching(mode, count): partial(self.search, mode, count)
            for mode in ("SEMANTIC", "KEYWORD", "HYBRID")
            for count in (None, *PEOPLE)
        }
        async with echo_call("kit") as echo:
            calls: dict[str, Callable[[], Awaitable[Any]]] = {RPC: lambda: echo(b"")}
            # Each search after its floor: what one call leaves in the caches the next one finds.
            for shape in SHAPES:
                name = compared(*shape)
                calls |= {raw(*shape): await self._raw(*shape), name: searches.pop(name)}
            found = await in_turns(calls | searches, seconds=SECONDS, rounds=ROUNDS)
        for name, measured in found.items():
            yield name, measured
        for shape in SHAPES:
            floor, rpc = found[raw(*shape)], found[RPC]
            p50, p99 = 1.5 * floor.p50 + rpc.p50, 1.5 * floor.p99 + rpc.p99
            each = 1.5 / floor.per_second + 1 / rpc.per_second
            yield bound(*shape), Figures(1 / each, p50, p99)

    async def _raw(self, page: int, count: int | None) -> Callable[[], Awaitable[Any]]:
        """The query that somebody would write by hand."""
        await self._database.execute(
            f"SET hnsw.ef_search = {EF_SEARCH}; SET hnsw.max_scan_tuples = {SCANNED};"
            "SET hnsw.iterative_scan = relaxed_order"
        )
        condition = f"subject_id = '{PEOPLE[count]}'" if count else "true"
        statement = await self._database.prepare(NEAREST.format(condition, page))
        points = await self._corpus.points()
        return lambda: statement.fetch(self._corpus.chooser.choice(points))

    async def throughput(self, functions: sql.SqlFunctions) -> Rows:
        """New vectors into the HNSW table: raw, by the index's own function, and as items through
        the service, until the last is indexed; its embedder is nearly free.
        """
        index = PgvectorIndex(functions)
        seconds: dict[str, list[float]] = {RAW_INSERT: [], UPSERT: [], WHOLE: []}
        for _ in range(TURNS):
            for _ in range(BATCHES):
                as_text = [orjson.dumps(one.values).decode() for one in await self._vectors()]
                insert = self._database.execute(INSERT, as_text)
                seconds[RAW_INSERT].append(await seconds_of(insert))
            for _ in range(BATCHES):
                upsert = index.upsert(SPACE.name, await self._vectors())
                seconds[UPSERT].append(await seconds_of(upsert))
            texts = [self._corpus.text(number) for number in range(BATCH * BATCHES)]
            seconds[WHOLE].append(await seconds_of(self._store(texts)))
        for name, items in ((RAW_INSERT, BATCH), (UPSERT, BATCH), (WHOLE, BATCH * BATCHES)):
            yield name, figures(seconds[name], sum(seconds[name]), items)

    async def _vectors(self) -> list[Vector]:
        texts = [self._corpus.text(n) for n in range(BATCH)]
        values = await self._corpus.embedder.embed(texts, Purpose.DOCUMENT)
        now = "2026-01-01T00:00:00+00:00"
        return [Vector(ids.new(), one, "default", now) for one in values]

    async def _store(self, texts: Sequence[str]) -> None:
        """Returns when all is indexed."""
        tokens: list[str] = []
        for start in range(0, len(texts), 512):
            answer = await self._stub.BatchStoreKnowledge(
                pb.BatchStoreKnowledgeRequest(requests=[
                    pb.StoreKnowledgeRequest(item=knowledge_pb2.NewKnowledge(content=text))
                    for text in texts[start : start + 512]
                ])
            )  # fmt: skip
            tokens += [result.response.index_token for result in answer.results]
        for start in range(0, len(tokens), 100):
            waited = pb.SearchKnowledgeRequest(
                query="x", mode=pb.SEARCH_MODE_KEYWORD, at_least=tokens[start : start + 100]
            )
            if (await self._stub.SearchKnowledge(waited, timeout=60)).pending_tokens:
                raise RuntimeError("the indexer did not come through in a minute")


async def seconds_of(work: Awaitable[Any]) -> float:
    """How long it takes."""
    before = time.perf_counter()
    await work
    return time.perf_counter() - before
