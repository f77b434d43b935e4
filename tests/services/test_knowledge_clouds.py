"""The whole service with Pinecone for its vectors and Voyage for its embedder, on both wires."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.adapters import patience
from knowledge_svc.adapters.pinecone import PineconePlace, open_pinecone
from knowledge_svc.adapters.remembering import RememberingEmbedder
from knowledge_svc.adapters.voyage import VoyageModel, open_voyage
from svckit import ids
from tests.support import pinecone, voyage
from tests.support.cluster import Database
from tests.support.knowledge import (
    Stub,
    a_request,
    as_administrator,
    eventually,
    knowledge_service,
    refusal,
)

HYBRID, SEMANTIC, KEYWORD = (
    pb.SEARCH_MODE_HYBRID,
    pb.SEARCH_MODE_SEMANTIC,
    pb.SEARCH_MODE_KEYWORD,
)
ANN, BEN = ids.named("ann"), ids.named("ben")
PETS = "Canine pets are great company."
INVOICE = "The invoice is due on Friday."


@dataclass(frozen=True)
class Clouds:
    """Both stand-ins, and the service that runs on them."""

    index: pinecone.Pinecone
    model: voyage.Voyage
    knowledge: Stub

    @property
    def vectors(self) -> set[str]:
        """The ids of what Pinecone shows in any namespace."""
        return {one for held in self.index.indexes["kith"].shown.values() for one in held}


@pytest.fixture
async def clouds(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clouds]:
    monkeypatch.setattr(patience, "_SHUT_SECONDS", 0.1)
    monkeypatch.setattr(patience, "_FIRST_DELAY", 0.01)
    index, model = pinecone.Pinecone(), voyage.Voyage()
    async with index.running() as url, model.running() as model_url:
        monkeypatch.setenv("PINECONE_CONTROLLER_HOST", url)
        index.add("kith", 256)
        chosen = VoyageModel(dimension=256, url=model_url)
        async with (
            open_pinecone(pinecone.KEY, PineconePlace("kith")) as vectors,
            open_voyage(voyage.KEY, chosen) as (embedder, reranker),
            knowledge_service(
                database,
                embedder=RememberingEmbedder(embedder),
                index=lambda _: vectors,
                reranker=reranker,
            ) as knowledge,
        ):
            yield Clouds(index, model, knowledge)


async def store(knowledge: Stub, *requests: Any) -> tuple[list[str], list[str]]:
    """The ids and the tokens of what is stored."""
    batch = [a_request(one) if isinstance(one, str) else one for one in requests]
    answer = await knowledge.BatchStoreKnowledge(pb.BatchStoreKnowledgeRequest(requests=batch))
    responses = [result.response for result in answer.results]
    return [one.knowledge_id for one in responses], [one.index_token for one in responses]


async def search(
    knowledge: Stub, query: str, mode: Any = HYBRID, seconds: float = 10, **changes: Any
) -> pb.SearchKnowledgeResponse:
    request = pb.SearchKnowledgeRequest(query=query, mode=mode, **changes)
    return await knowledge.SearchKnowledge(request, timeout=seconds)


def contents(answer: pb.SearchKnowledgeResponse) -> list[str]:
    return [hit.item.content for hit in answer.hits]


async def indexed(knowledge: Stub, knowledge_ids: list[str]) -> None:
    async def all_are() -> bool:
        items = [
            (await knowledge.GetKnowledge(pb.GetKnowledgeRequest(knowledge_id=one))).item
            for one in knowledge_ids
        ]
        return all(item.index_state == knowledge_pb2.INDEX_STATE_INDEXED for item in items)

    await eventually(all_are, seconds=20)


async def test_what_was_stored_is_found_by_meaning_as_soon_as_it_is_asked_for(clouds):
    clouds.index.lag = 0.3
    _, tokens = await store(clouds.knowledge, PETS, INVOICE)

    answer = await search(clouds.knowledge, "I love dogs", SEMANTIC, at_least=tokens)

    assert not answer.pending_tokens
    assert contents(answer) == [PETS, INVOICE]
    assert {hit.item.embedding_model for hit in answer.hits} == {"voyage-4"}


async def test_hybrid_goes_by_words_and_by_meaning(clouds):
    _, tokens = await store(clouds.knowledge, PETS, INVOICE, "Friday is for dancing.")

    answer = await search(clouds.knowledge, "dogs on Friday", at_least=tokens)

    assert not answer.degraded
    assert set(contents(answer)) == {PETS, INVOICE, "Friday is for dancing."}
    assert all(hit.scores.semantic for hit in answer.hits)


async def test_voyage_puts_the_best_in_order_where_a_search_asks_for_it(clouds):
    _, tokens = await store(clouds.knowledge, PETS, INVOICE, "Friday is for dancing.")

    answer = await search(clouds.knowledge, "I love dogs", rerank=True, at_least=tokens)

    scores = [hit.scores.rerank for hit in answer.hits]
    assert answer.reranked
    assert contents(answer)[0] == PETS
    assert scores == sorted(scores, reverse=True) == [hit.score for hit in answer.hits]
    assert [given["model"] for given in clouds.model.asked if "documents" in given] == [
        "rerank-2.5"
    ]


async def test_without_voyage_the_order_stays_and_the_answer_says_so(clouds):
    _, tokens = await store(clouds.knowledge, PETS, INVOICE)
    before = await search(clouds.knowledge, "dogs on Friday", at_least=tokens)
    clouds.model.down = 503

    answer = await search(clouds.knowledge, "dogs on Friday", rerank=True)

    assert not answer.reranked
    assert not answer.degraded
    assert contents(answer) == contents(before)


async def test_filters_mean_what_they_mean_everywhere(clouds):
    group, session = ids.named("g"), ids.named("s")
    _, tokens = await store(
        clouds.knowledge,
        a_request("Ann has a dog.", subject_id=ANN, namespace="notes", metadata={"kind": "pet"}),
        a_request("Ann pays on Friday.", subject_id=ANN, metadata={"kind": "money"}),
        a_request("Ben has a dog.", subject_id=BEN, platform="discord"),
        a_request("All have dogs.", group_id=group, session_id=session),
    )
    await search(clouds.knowledge, "x", at_least=tokens)

    async def found(**chosen: Any) -> set[str]:
        given = knowledge_pb2.KnowledgeFilter(**chosen)
        return {
            content
            for mode in (SEMANTIC, HYBRID)
            for content in contents(await search(clouds.knowledge, "dog", mode, filter=given))
        }

    anns = {"Ann has a dog.", "Ann pays on Friday."}
    assert await found(subject_ids=[ANN]) >= {"Ann has a dog."}
    assert await found(subject_ids=[ANN]) <= anns
    assert await found(namespaces=["notes"]) == {"Ann has a dog."}
    assert await found(group_id=group) == {"All have dogs."}
    assert await found(session_id=session) == {"All have dogs."}
    assert await found(platform="discord") == {"Ben has a dog."}
    assert await found(metadata={"kind": "pet"}) == {"Ann has a dog."}


async def test_a_deletion_takes_the_vector_along(clouds):
    [pets, invoice], tokens = await store(clouds.knowledge, PETS, INVOICE)
    await search(clouds.knowledge, "x", at_least=tokens)

    await clouds.knowledge.DeleteKnowledge(pb.DeleteKnowledgeRequest(knowledge_id=pets))
    answer = await search(clouds.knowledge, "I love dogs", SEMANTIC)

    assert contents(answer) == [INVOICE]

    async def gone() -> bool:
        await search(clouds.knowledge, "I love dogs", SEMANTIC)
        return clouds.vectors == {invoice}

    await eventually(gone)


@pytest.mark.parametrize(("away", "status"), [("index", 503), ("model", 429), ("both", 503)])
async def test_while_a_backend_is_away_writes_and_words_go_on_and_all_is_indexed_afterwards(
    clouds, away, status
):
    backends = [clouds.index, clouds.model] if away == "both" else [getattr(clouds, away)]
    before, tokens = await store(clouds.knowledge, PETS)
    await search(clouds.knowledge, "x", at_least=tokens)
    for backend in backends:
        backend.down = status

    during, tokens = await store(clouds.knowledge, INVOICE, "Friday is for dancing.")
    by_words = await search(clouds.knowledge, "Friday", KEYWORD)
    hybrid = await search(clouds.knowledge, "Friday")
    late = await search(clouds.knowledge, "Friday", KEYWORD, seconds=1, at_least=tokens)
    refused = await refusal(search(clouds.knowledge, "Friday", SEMANTIC))
    for backend in backends:
        backend.down = None
    await indexed(clouds.knowledge, [*before, *during])
    after = await search(clouds.knowledge, "weekend", SEMANTIC)

    assert set(contents(by_words)) == {INVOICE, "Friday is for dancing."}
    assert not by_words.degraded
    assert set(contents(hybrid)) == {INVOICE, "Friday is for dancing."}
    assert hybrid.degraded
    assert list(late.pending_tokens) == tokens
    assert refused[:2] == (grpc.StatusCode.UNAVAILABLE, "SEMANTIC_SEARCH_UNAVAILABLE")
    assert len(after.hits) == 3
    assert clouds.vectors == {*before, *during}
    if away == "index":
        assert clouds.model.texts.count(INVOICE) == 1


async def test_a_slow_backend_keeps_nobody_from_writing_and_a_search_within_its_deadline(clouds):
    clouds.model.delay = 2.0
    clock = asyncio.get_running_loop()
    started = clock.time()

    stored, _ = await store(clouds.knowledge, INVOICE)
    written = clock.time() - started
    answer = await search(clouds.knowledge, "Friday", seconds=1.5)
    searched = clock.time() - started - written
    clouds.model.delay = 0
    await indexed(clouds.knowledge, stored)

    assert written < 1
    assert searched < 1.5
    assert contents(answer) == [INVOICE]
    assert answer.degraded


async def test_a_deletion_while_the_index_is_away_is_finished_afterwards(clouds, database):
    [pets], tokens = await store(clouds.knowledge, PETS)
    await search(clouds.knowledge, "x", at_least=tokens)
    clouds.index.down = 503

    deleted = await clouds.knowledge.DeleteKnowledge(pb.DeleteKnowledgeRequest(knowledge_id=pets))
    by_words = await search(clouds.knowledge, "pets", KEYWORD)
    clouds.index.down = None
    async with as_administrator(database) as admin:
        # As if the time that the deletion had were over.
        await admin.execute("UPDATE knowledge.index_states SET next_attempt_at = now()")

    async def gone() -> bool:
        await search(clouds.knowledge, "dogs")
        async with as_administrator(database) as admin:
            rows = await admin.fetchval("SELECT count(*) FROM knowledge.knowledge_items")
        return not rows and not clouds.vectors

    await eventually(gone)
    assert deleted.deleted
    assert not by_words.hits


async def test_a_refused_text_is_given_up_alone(clouds):
    """The rest of its batch is indexed; it ends with the reason."""
    poison = "poison " * 3

    async def embed(given: dict[str, Any]) -> Any:
        if poison in given["input"]:
            raise ValueError("This text is not allowed.")
        return await real(given)

    real, clouds.model._embed = clouds.model._embed, embed
    [poisoned, *others], _ = await store(clouds.knowledge, poison, PETS, INVOICE)

    await indexed(clouds.knowledge, others)

    async def failed() -> bool:
        request = pb.GetKnowledgeRequest(knowledge_id=poisoned)
        state = (await clouds.knowledge.GetKnowledge(request)).item.index_state
        return bool(state == knowledge_pb2.INDEX_STATE_FAILED)

    await eventually(failed)
    assert clouds.vectors == set(others)


async def test_a_batch_is_embedded_and_upserted_together_and_once(clouds):
    stored, _ = await store(clouds.knowledge, *(f"note number {n}" for n in range(120)))

    await indexed(clouds.knowledge, stored)

    documents = [given for given in clouds.model.asked if given.get("input_type") == "document"]
    assert sorted(text for given in documents for text in given["input"]) == sorted(
        f"note number {n}" for n in range(120)
    )
    assert len(documents) <= 3
    assert clouds.index.count("upsert") <= 3
    assert clouds.vectors == set(stored)
