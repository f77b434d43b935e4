"""Messages and searches, measured from outside of their processes."""

import asyncio
import json
import random
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from bench.measure import CALLERS, Figures, closed_loop
from kith.knowledge.v1 import knowledge_pb2, knowledge_service_pb2, knowledge_service_pb2_grpc
from tests.support.up import RunningKith

SEARCH_ITEMS = 1000
SUBJECTS = ("harbour", "ferry", "garden", "violin", "recipe", "passport", "bicycle", "lighthouse")
VERBS = ("was lost near", "belongs to", "was painted by", "is older than", "was sold to")
NAMES = ("Amina", "Jonas", "Mei", "Rahul", "Sofia", "Tomás", "Yuki", "Zeynep")


RATIOS = (("POST /v1/messages, 64 callers (wrk)", "floor: empty RPC in the kit, 64 callers"),)


async def rows(running: RunningKith) -> AsyncIterator[tuple[str, Figures]]:
    """Messages and searches."""
    for callers in CALLERS:
        yield (
            f"POST /v1/messages, {callers} callers (wrk)",
            await messages(running.gateway, callers),
        )
    async for name, found in searches(running.address("knowledge")):
        yield name, found


class WrkMissing(RuntimeError):
    """The load generator is not installed."""


async def messages(gateway: str, callers: int, seconds: int = 6) -> Figures:
    """`POST /v1/messages`, load made by wrk."""
    if not shutil.which("wrk"):
        raise WrkMissing("wrk is not here: install Debian's package `wrk`")
    script = Path(__file__).with_name("messages.lua")
    process = await asyncio.create_subprocess_exec(
        *("wrk", "-t1", f"-c{callers}", f"-d{seconds}s", "--timeout", "10s"),
        *("-s", str(script), gateway, "--", uuid.uuid4().hex[:8]),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    summary = json.loads(output.decode().strip().splitlines()[-1])
    if summary["errors"]:
        raise RuntimeError(f"{summary['errors']} of {summary['requests']} messages failed")
    return Figures(summary["requests"] / summary["seconds"], summary["p50"], summary["p99"])


async def searches(address: str) -> AsyncIterator[tuple[str, Figures]]:
    """`SearchKnowledge` over a thousand items of one person, by mode."""
    subject = str(uuid.uuid4())
    chooser = random.Random(7)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = knowledge_service_pb2_grpc.KnowledgeServiceStub(channel)
        await _store(stub, subject, chooser)
        for mode in ("KEYWORD", "SEMANTIC", "HYBRID"):

            async def search(mode: str = mode) -> None:
                await stub.SearchKnowledge(
                    knowledge_service_pb2.SearchKnowledgeRequest(
                        query=f"who {chooser.choice(VERBS)} the {chooser.choice(SUBJECTS)}?",
                        mode=knowledge_service_pb2.SearchMode.Value(f"SEARCH_MODE_{mode}"),
                        filter=knowledge_pb2.KnowledgeFilter(subject_ids=[subject]),
                    )
                )

            yield (
                f"search {mode.lower()}, {SEARCH_ITEMS} items, 1 caller",
                await closed_loop(search, callers=1),
            )


async def _store(stub: Any, subject: str, chooser: random.Random) -> None:
    """A thousand different items, indexed when this returns."""
    requests = [
        knowledge_service_pb2.StoreKnowledgeRequest(
            item=knowledge_pb2.NewKnowledge(
                knowledge_id=str(uuid.uuid4()),
                subject_id=subject,
                content=f"The {chooser.choice(SUBJECTS)} {chooser.choice(VERBS)} "
                f"{chooser.choice(NAMES)} in the year {1000 + number}.",
            )
        )
        for number in range(SEARCH_ITEMS)
    ]
    answer = await stub.BatchStoreKnowledge(
        knowledge_service_pb2.BatchStoreKnowledgeRequest(requests=requests)
    )
    tokens = [result.response.index_token for result in answer.results]
    for first in range(0, len(tokens), 100):
        seen = await stub.SearchKnowledge(
            knowledge_service_pb2.SearchKnowledgeRequest(
                query="harbour",
                filter=knowledge_pb2.KnowledgeFilter(subject_ids=[subject]),
                at_least=tokens[first : first + 100],
            ),
            timeout=60,
        )
        if seen.pending_tokens:
            raise RuntimeError("the indexer did not come through in a minute")
