"""`make eval`: recall of keyword, semantic and hybrid search; `ARGS=--json` for a machine."""

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from evaluation import corpus
from evaluation.corpus import Asked
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2
from kith.knowledge.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from svckit import fields, ids, logs
from tests.support.cluster import running_cluster
from tests.support.services import channel_to, running
from tests.support.stack import ASSEMBLE

pb = knowledge_service_pb2

MODES = ("keyword", "semantic", "hybrid")
DEPTHS = (5, 10, 20)

Recalls = dict[str, dict[int, float]]


async def store(stub: Any) -> dict[str, str]:
    """Keep the conversation, as the gateway would; message ids by knowledge id."""
    names = {}
    requests = []
    for position, said in enumerate(corpus.conversation(), start=1):
        item = knowledge_pb2.NewKnowledge(
            knowledge_id=ids.named("evaluation", said.message_id),
            content=said.text,
            subject_id=ids.named("evaluation", said.speaker),
            session_id=ids.named("evaluation", "session", said.session),
            source_event_id=ids.named("evaluation", "event", said.message_id),
            source_position=position,
            occurred_at=fields.to_timestamp(said.at),
        )
        names[item.knowledge_id] = said.message_id
        requests.append(pb.StoreKnowledgeRequest(item=item))
    answer = await stub.BatchStoreKnowledge(pb.BatchStoreKnowledgeRequest(requests=requests))
    tokens = [result.response.index_token for result in answer.results]
    for first in range(0, len(tokens), 100):
        seen = await stub.SearchKnowledge(
            pb.SearchKnowledgeRequest(query="x", at_least=tokens[first : first + 100]), timeout=60
        )
        if seen.pending_tokens:
            raise RuntimeError("not everything was indexed in a minute")
    return names


async def recalls(stub: Any, names: Mapping[str, str], asked: Sequence[Asked]) -> Recalls:
    """Which part of the evidence is among the first hits, on average, by mode and depth."""
    found: Recalls = {mode: dict.fromkeys(DEPTHS, 0.0) for mode in MODES}
    for one in asked:
        for mode in MODES:
            request = pb.SearchKnowledgeRequest(
                query=one.question,
                mode=pb.SearchMode.Value(f"SEARCH_MODE_{mode.upper()}"),
                limit=max(DEPTHS),
            )
            hits = (await stub.SearchKnowledge(request)).hits
            ranked = [names[hit.item.knowledge_id] for hit in hits]
            for depth in DEPTHS:
                share = len(one.evidence & set(ranked[:depth])) / len(one.evidence)
                found[mode][depth] += share / len(asked)
    return found


async def evaluate(database: Any) -> dict[str, Recalls]:
    """Recall on both halves of the questions."""
    tuned, unseen = corpus.questions()
    async with (
        running(ASSEMBLE["knowledge"], database, "knowledge") as address,
        channel_to(address) as channel,
    ):
        stub = KnowledgeServiceStub(channel)
        names = await store(stub)
        return {
            "tuned on": await recalls(stub, names, tuned),
            "never tuned on": await recalls(stub, names, unseen),
        }


def show(found: Mapping[str, Recalls], console: Console) -> None:
    """A table of percentages."""
    table = Table("questions", "mode", *(f"recall@{depth}" for depth in DEPTHS))
    for half, modes in found.items():
        for mode, by_depth in modes.items():
            table.add_row(half, mode, *(f"{share:.1%}" for share in by_depth.values()))
        table.add_section()
    console.print(table)


def main() -> None:
    """Start a knowledge service of our own, fill it, ask it."""
    parser = argparse.ArgumentParser(prog="evaluation", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    logs.configure("evaluation", "warning")
    with running_cluster() as cluster, cluster.database() as database:
        found = asyncio.run(evaluate(database))
    if arguments.json:
        print(json.dumps(found))
    else:
        show(found, Console())


if __name__ == "__main__":
    main()
