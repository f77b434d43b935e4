"""Nobody finds what belongs to somebody else, whatever is stored and asked."""

import random
from collections import defaultdict
from typing import Any

import pytest

from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from svckit import ids
from tests.support.cluster import Database
from tests.support.knowledge import Stub, a_request, knowledge_service

WORDS = "tea coffee dog cat sea garden school train music book rain sun".split()  # noqa: SIM905
MODES = [pb.SEARCH_MODE_HYBRID, pb.SEARCH_MODE_SEMANTIC, pb.SEARCH_MODE_KEYWORD]


async def told(knowledge: Stub, chance: random.Random, subjects: list[str]) -> dict[str, set[str]]:
    """Let every subject say much the same, in groups and conversations they share; their ids."""
    shared = [ids.named("shared", f"{n}") for n in range(3)]
    requests = [
        a_request(
            " ".join(chance.choices(WORDS, k=4)),
            subject_id=chance.choice(subjects),
            namespace=chance.choice(["default", "notes"]),
            group_id=chance.choice([*shared, ""]),
            session_id=chance.choice([*shared, ""]),
            source_event_id=ids.new(),
        )
        for _ in range(900)
    ]
    answer = await knowledge.BatchStoreKnowledge(pb.BatchStoreKnowledgeRequest(requests=requests))
    owned: dict[str, set[str]] = defaultdict(set)
    for request, result in zip(requests, answer.results, strict=True):
        owned[request.item.subject_id].add(result.response.knowledge_id)
    last = answer.results[-1].response.index_token
    await knowledge.SearchKnowledge(
        pb.SearchKnowledgeRequest(query="tea", at_least=[last]), timeout=20
    )
    return owned


@pytest.mark.parametrize("seed", range(3))
async def test_a_search_within_subjects_finds_theirs_alone_and_all_of_them(
    database: Database, seed: int
):
    chance = random.Random(seed)
    subjects = [ids.new() for _ in range(40)]
    async with knowledge_service(database) as knowledge:
        owned = await told(knowledge, chance, subjects)

        for _ in range(60):
            asked = chance.sample(subjects, k=chance.choice([1, 1, 1, 2, 5]))
            narrower: dict[str, Any] = chance.choice([{}, {"namespaces": ["notes"]}])
            answer = await knowledge.SearchKnowledge(
                pb.SearchKnowledgeRequest(
                    query=" ".join(chance.choices(WORDS, k=chance.randint(1, 3))),
                    mode=chance.choice(MODES),
                    filter=knowledge_pb2.KnowledgeFilter(subject_ids=asked, **narrower),
                    limit=chance.choice([1, 10, 100]),
                )
            )
            theirs = set().union(*(owned[subject] for subject in asked))
            assert {hit.item.knowledge_id for hit in answer.hits} <= theirs
            assert {hit.item.subject_id for hit in answer.hits} <= set(asked)

        for subject in subjects[:10]:
            everything = await knowledge.SearchKnowledge(
                pb.SearchKnowledgeRequest(
                    query=" ".join(WORDS),
                    filter=knowledge_pb2.KnowledgeFilter(subject_ids=[subject]),
                    limit=100,
                )
            )
            assert {hit.item.knowledge_id for hit in everything.hits} == owned[subject]
