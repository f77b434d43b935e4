"""`make eval`: recall of keyword, semantic and hybrid search.

`ARGS=--variants` stores the conversation in other ways too; `ARGS=--json` is for a machine.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from evaluation import corpus
from evaluation.corpus import Asked
from evaluation.variants import OTHERS, PLAIN, Variant
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2
from kith.knowledge.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from svckit import logs
from tests.support.cluster import running_cluster
from tests.support.services import channel_to, running
from tests.support.stack import ASSEMBLE

pb = knowledge_service_pb2

MODES = ("keyword", "semantic", "hybrid")
DEPTHS = (5, 10, 20)

Recalls = dict[str, dict[int, float]]
Halves = dict[str, Recalls]


async def store(stub: Any, variant: Variant) -> dict[str, str]:
    """Keep the conversation; message ids by knowledge id."""
    items = list(variant.items())
    tokens = []
    for first in range(0, len(items), 1000):
        requests = [pb.StoreKnowledgeRequest(item=item) for _, item in items[first : first + 1000]]
        answer = await stub.BatchStoreKnowledge(pb.BatchStoreKnowledgeRequest(requests=requests))
        tokens += [result.response.index_token for result in answer.results]
    for first in range(0, len(tokens), 100):
        seen = await stub.SearchKnowledge(
            pb.SearchKnowledgeRequest(query="x", at_least=tokens[first : first + 100]), timeout=60
        )
        if seen.pending_tokens:
            raise RuntimeError("not everything was indexed in a minute")
    return {item.knowledge_id: said.message_id for said, item in items if said}


async def recalls(
    stub: Any, variant: Variant, names: Mapping[str, str], asked: Sequence[Asked]
) -> Recalls:
    """Which part of the evidence is among the first hits, on average, by mode and depth."""
    found: Recalls = {mode: dict.fromkeys(DEPTHS, 0.0) for mode in MODES}
    for one in asked:
        for mode in MODES:
            request = pb.SearchKnowledgeRequest(
                query=one.question,
                mode=pb.SearchMode.Value(f"SEARCH_MODE_{mode.upper()}"),
                filter=knowledge_pb2.KnowledgeFilter(namespaces=[variant.namespace]),
                limit=max(DEPTHS),
            )
            hits = (await stub.SearchKnowledge(request)).hits
            ranked = [names.get(hit.item.knowledge_id) for hit in hits]
            for depth in DEPTHS:
                share = len(one.evidence.intersection(ranked[:depth])) / len(one.evidence)
                found[mode][depth] += share / len(asked)
    return found


async def evaluate(database: Any, variants: Sequence[Variant]) -> dict[str, Halves]:
    """Recall on both halves of the questions, by variant."""
    tuned, unseen = corpus.questions()
    found = {}
    async with (
        running(
            lambda store: ASSEMBLE["knowledge"](store, database), database, "knowledge"
        ) as address,
        channel_to(address) as channel,
    ):
        stub = KnowledgeServiceStub(channel)
        for variant in variants:
            names = await store(stub, variant)
            found[variant.name] = {
                "tuned on": await recalls(stub, variant, names, tuned),
                "never tuned on": await recalls(stub, variant, names, unseen),
            }
    return found


def show(found: Mapping[str, Halves], console: Console) -> None:
    """Tables of percentages: the first variant whole, of the others what hybrid finds."""
    plain, *others = found
    columns = [f"recall@{depth}" for depth in DEPTHS]
    table = Table("questions", "mode", *columns, title=plain)
    for half, modes in found[plain].items():
        for mode, by_depth in modes.items():
            table.add_row(half, mode, *(f"{share:.1%}" for share in by_depth.values()))
        table.add_section()
    console.print(table)
    if others:
        table = Table("hybrid, on the half tuned on", *columns)
        for name in found:
            shares = found[name]["tuned on"]["hybrid"].values()
            table.add_row(name, *(f"{share:.1%}" for share in shares))
        console.print(table)


def main() -> None:
    """Start a knowledge service of our own, fill it, ask it."""
    parser = argparse.ArgumentParser(prog="evaluation", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--variants", action="store_true", help="store it in other ways as well")
    arguments = parser.parse_args()
    logs.configure("evaluation", "warning")
    chosen = [PLAIN, *OTHERS] if arguments.variants else [PLAIN]
    with running_cluster() as cluster, cluster.database() as database:
        found = asyncio.run(evaluate(database, chosen))
    if arguments.json:
        print(json.dumps(found))
    else:
        show(found, Console())


if __name__ == "__main__":
    main()
