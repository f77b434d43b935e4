"""`make bench-knowledge`: search over 100,000 items beside the raw pgvector query, in one run."""

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import numpy
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench import floors
from bench.measure import closed_loop
from evaluation import corpus
from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from kith.knowledge.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from knowledge_svc.adapters.wordllama import WordLlamaEmbedder
from knowledge_svc.domain.items import space_of
from knowledge_svc.ports.items import Purpose
from knowledge_svc.terms import terms_of
from svckit import ids
from tests.support.services import channel_to
from tests.support.up import RunningKith, kith_up

ITEMS = 100_000
# One person has a fifth of everything, another a hundred items; the rest are of others.
OFTEN, SELDOM = ids.named("bench", "often"), ids.named("bench", "seldom")
SELDOM_ITEMS = 100
PART = 5_000
LOADED = 2_048
EF_SEARCH = 200  # as `nearest_vectors` has it

TABLE = f"knowledge.vectors_{space_of(WordLlamaEmbedder.model, WordLlamaEmbedder.dimension).name}"
NEAREST = f"""
SELECT knowledge_id FROM {TABLE} ORDER BY embedding OPERATOR(extensions.<=>) $1 LIMIT 10
"""
LOAD = f"""
WITH row AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::jsonb[], $6::text[])
        r (id, subject, session, content, terms, vector)
), item AS (
    INSERT INTO knowledge.knowledge_items (
        knowledge_id, revision, occurred_at, subject_id, session_id, source_event_id, owner,
        term_total, namespace, content_hash, body_hash, terms, term_counts, metadata, content)
    SELECT r.id, nextval('knowledge.revisions'), now(), r.subject, r.session, r.id, r.subject,
           (r.terms -> 2)::integer, 'default', sha256(r.content::bytea), sha256(r.content::bytea),
           ARRAY(SELECT jsonb_array_elements_text(r.terms -> 0)),
           ARRAY(SELECT c::smallint FROM jsonb_array_elements(r.terms -> 1) c), '{{}}', r.content
    FROM row r RETURNING knowledge_id, revision, occurred_at, subject_id, session_id
), state AS (
    INSERT INTO knowledge.index_states (knowledge_id, revision, state, embedding_model)
    SELECT i.knowledge_id, i.revision, 'indexed', '{WordLlamaEmbedder.model}' FROM item i
)
INSERT INTO {TABLE} (knowledge_id, occurred_at, subject_id, session_id, namespace, embedding)
SELECT i.knowledge_id, i.occurred_at, i.subject_id, i.session_id, 'default',
       r.vector::extensions.vector
FROM item i JOIN row r ON r.id = i.knowledge_id
"""
RAW_INSERT = f"""
INSERT INTO {TABLE} (knowledge_id, occurred_at, namespace, embedding)
SELECT gen_random_uuid(), now(), 'raw', v::extensions.vector FROM unnest($1::text[]) v
"""

Vectors = NDArray[numpy.float32]
Rows = list[tuple[str, str]]


class Corpus:
    """Texts of the words of a real conversation, mixed anew, with their vectors."""

    def __init__(self) -> None:
        self.chooser = random.Random(7)
        self.words = " ".join(said.text for said in corpus.conversation()).split()
        self.ids = [ids.new() for _ in range(ITEMS)]
        self.subjects = [self._subject(number) for number in range(ITEMS)]
        self.embedder = WordLlamaEmbedder()
        self.vectors: Vectors = numpy.zeros((0, 0), numpy.float32)
        tuned, unseen = corpus.questions()
        self.questions = [one.question for one in tuned + unseen]

    def text(self) -> str:
        """A message of quite ordinary length."""
        return " ".join(self.chooser.choices(self.words, k=self.chooser.randint(6, 20)))

    def _subject(self, number: int) -> str:
        if number < SELDOM_ITEMS:
            return SELDOM
        return OFTEN if number % 5 == 0 else ids.named("bench", str(number % 997))

    async def parts(self) -> Iterator[Sequence[Sequence[Any]]]:
        """Columns to load, some thousands of rows at a time."""
        parts, vectors = [], []
        for start in range(0, ITEMS, PART):
            texts = [self.text() for _ in range(PART)]
            values = await self.embedder.embed(texts, Purpose.DOCUMENT)
            vectors.append(numpy.array(values, numpy.float32))
            terms = [terms_of(text) for text in texts]
            parts.append((
                self.ids[start : start + PART], self.subjects[start : start + PART],
                [ids.named("talk", str((start + n) // 30)) for n in range(PART)], texts,
                [json.dumps([t.names, t.counts, t.total]) for t in terms],
                [str(value) for value in values],
            ))  # fmt: skip
        self.vectors = numpy.concatenate(vectors)
        return iter(parts)

    async def exact(self, question: str, subject: str | None) -> set[str]:
        """The ten that are nearest indeed."""
        [query] = await self.embedder.embed([question], Purpose.QUERY)
        similar = self.vectors @ numpy.array(query, numpy.float32)
        if subject:
            similar[[one != subject for one in self.subjects]] = -2
        return {self.ids[place] for place in numpy.argsort(-similar)[:10]}


class Bench:
    """A running Kith with everything in it, and what is measured of it."""

    def __init__(self, corpus: Corpus, database: Any, stub: Any) -> None:
        self._corpus = corpus
        self._database = database
        self._stub = stub

    async def load(self) -> Rows:
        """Put everything in, past the service; the index is built as the service builds it."""
        before = time.perf_counter()
        for columns in await self._corpus.parts():
            await self._database.execute(LOAD, *columns)
        loaded = time.perf_counter()
        await self._database.execute(
            f"SELECT knowledge.index_vectors('{TABLE.removeprefix('knowledge.vectors_')}')"
        )
        built = time.perf_counter()
        await self._database.execute(f"VACUUM ANALYZE {TABLE}, knowledge.knowledge_items")
        return [
            ("loading rows and vectors", f"{loaded - before:.0f} s"),
            ("building the HNSW index", f"{built - loaded:.0f} s"),
        ]

    async def search(self, question: str, mode: str, subject: str | None = None) -> Any:
        """One search over gRPC."""
        chosen = knowledge_pb2.KnowledgeFilter(subject_ids=[subject] if subject else [])
        return await self._stub.SearchKnowledge(
            pb.SearchKnowledgeRequest(
                query=question, mode=pb.SearchMode.Value(f"SEARCH_MODE_{mode}"), filter=chosen
            )
        )

    async def latencies(self) -> Rows:
        """The floors, and searches of each kind."""
        questions = self._corpus.questions
        points = [str(one) for one in await self._corpus.embedder.embed(questions, Purpose.QUERY)]
        await self._database.execute(f"SET hnsw.ef_search = {EF_SEARCH}")
        statement = await self._database.prepare(
            NEAREST.replace("$1", "$1::text::extensions.vector")
        )

        def searching(mode: str, subject: str | None = None) -> Callable[[], Awaitable[Any]]:
            return lambda: self.search(self._corpus.chooser.choice(questions), mode, subject)

        rows = [("floor: empty RPC", await floors.echo(1))]
        calls: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
            (
                "floor: raw pgvector query",
                lambda: statement.fetch(self._corpus.chooser.choice(points)),
            ),
            ("semantic", searching("SEMANTIC")),
            ("keyword", searching("KEYWORD")),
            ("hybrid", searching("HYBRID")),
            ("semantic, a person of 20,000 items", searching("SEMANTIC", OFTEN)),
            ("hybrid, a person of 20,000 items", searching("HYBRID", OFTEN)),
            ("hybrid, a person of 100 items", searching("HYBRID", SELDOM)),
        ]
        for name, call in calls:
            rows.append((name, await closed_loop(call, callers=1, seconds=4)))
        return [(name, f"p50 {f.p50:.1f} ms, p99 {f.p99:.1f} ms") for name, f in rows]

    async def recalls(self) -> Rows:
        """How much of what is nearest indeed a search by meaning finds."""
        rows = []
        people = (("everybody", None), ("a person of 20,000", OFTEN), ("a person of 100", SELDOM))
        for name, subject in people:
            shares, least = [], 10
            for question in self._corpus.questions[:60]:
                hits = (await self.search(question, "SEMANTIC", subject)).hits
                exact = await self._corpus.exact(question, subject)
                shares.append(len(exact & {hit.item.knowledge_id for hit in hits}) / 10)
                least = min(least, len(hits))
            share = sum(shares) / len(shares)
            rows.append((f"recall@10, {name}", f"{share:.3f} (least page {least})"))
        return rows

    async def throughput(self) -> Rows:
        """New vectors into the same HNSW table: raw, and through the service."""
        texts = [self._corpus.text() for _ in range(LOADED)]
        vectors = [str(v) for v in await self._corpus.embedder.embed(texts, Purpose.DOCUMENT)]
        before = time.perf_counter()
        for start in range(0, LOADED, 128):
            await self._database.execute(RAW_INSERT, vectors[start : start + 128])
        raw = LOADED / (time.perf_counter() - before)

        before = time.perf_counter()
        tokens: list[str] = []
        for start in range(0, LOADED, 512):
            answer = await self._stub.BatchStoreKnowledge(
                pb.BatchStoreKnowledgeRequest(requests=[
                    pb.StoreKnowledgeRequest(item=knowledge_pb2.NewKnowledge(content=text))
                    for text in texts[start : start + 512]
                ])
            )  # fmt: skip
            tokens += [result.response.index_token for result in answer.results]
        for start in range(0, LOADED, 100):
            waited = pb.SearchKnowledgeRequest(
                query="x", mode=pb.SEARCH_MODE_KEYWORD, at_least=tokens[start : start + 100]
            )
            if (await self._stub.SearchKnowledge(waited, timeout=60)).pending_tokens:
                raise RuntimeError("the indexer did not come through in a minute")
        whole = LOADED / (time.perf_counter() - before)
        return [
            ("floor: raw multi-row insert into the HNSW table", f"{raw:,.0f}/s"),
            ("stored, embedded and indexed by the service", f"{whole:,.0f}/s ({whole / raw:.0%})"),
        ]


async def measure(running: RunningKith, console: Console) -> Rows:
    """All figures, in order."""
    database = await asyncpg.connect(running.addresses["database_url"], timeout=10)
    rows: Rows = []
    try:
        async with channel_to(running.address("knowledge")) as channel:
            bench = Bench(Corpus(), database, KnowledgeServiceStub(channel))
            for step in (bench.load, bench.recalls, bench.latencies, bench.throughput):
                for name, figure in await step():
                    rows.append((name, figure))
                    console.print(f"{name}: {figure}", style="dim", highlight=False)
    finally:
        await database.close()
    return rows


def main() -> None:
    """Start a Kith of our own, fill it, measure it, stop it."""
    parser = argparse.ArgumentParser(prog="bench.knowledge", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    console = Console(stderr=arguments.json)
    with (
        tempfile.TemporaryDirectory(prefix="kith-bench-") as folder,
        kith_up(Path(folder) / "home", {"KITH_LOG_LEVEL": "warning"}) as running,
    ):
        rows = asyncio.run(measure(running, console))
    if arguments.json:
        print(json.dumps(dict(rows)))
        return
    table = Table(f"{ITEMS:,} items", "", title="Search beside its floors")
    for name, figure in rows:
        table.add_row(name, figure)
    console.print(table)


if __name__ == "__main__":
    main()
