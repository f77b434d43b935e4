"""What a search brings along with its hits, and in which order: neighbours, reasons, reranking."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.ports.items import Calibration, Purpose
from knowledge_svc.ports.searching import Reranker
from svckit import ids
from svckit.errors import Unavailable
from tests.support.cluster import Database
from tests.support.knowledge import Stub, a_request, knowledge_service, refusal

TALK = ids.named("talk")
SAID = (
    "I bought a cello last week.",
    "Where did you find it?",
    "From a retired teacher in Lund.",
    "How lovely. I have to go now, the kiln is hot.",
    "See you on Friday, bring your running shoes.",
)


@dataclass
class ScriptedReranker:
    """Scores by a function of the text; notes what it was asked."""

    score: Any
    model: str = "scripted"
    asked: list[tuple[str, Sequence[str]]] = field(default_factory=list)

    async def rerank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        self.asked.append((query, texts))
        return [self.score(text) for text in texts]


def failing(_: str) -> float:
    raise Unavailable("no reranker")


@pytest.fixture
async def knowledge(database: Database) -> AsyncIterator[Stub]:
    async with knowledge_service(database) as stub:
        await talk(stub)
        yield stub


async def talk(stub: Stub, *contents: str) -> list[str]:
    """Store one conversation and wait until it is indexed."""
    batch = [
        a_request(content, session_id=TALK, source_event_id=ids.new(), source_position=position)
        for position, content in enumerate(contents or SAID, start=1)
    ]
    answer = await stub.BatchStoreKnowledge(pb.BatchStoreKnowledgeRequest(requests=batch))
    tokens = [result.response.index_token for result in answer.results]
    await stub.SearchKnowledge(pb.SearchKnowledgeRequest(query="x", at_least=tokens))
    return [result.response.knowledge_id for result in answer.results]


async def search(stub: Stub, query: str, **changes: Any) -> pb.SearchKnowledgeResponse:
    return await stub.SearchKnowledge(pb.SearchKnowledgeRequest(query=query, **changes))


async def test_a_hit_brings_its_neighbours_in_the_order_in_which_they_were_said(knowledge):
    answer = await search(knowledge, "retired teacher", limit=1, expand=1)

    [hit] = answer.hits
    assert hit.item.content == SAID[2]
    assert [(one.distance, one.item.content) for one in hit.beside] == [(-1, SAID[1]), (1, SAID[3])]


@pytest.mark.parametrize("mode", [pb.SEARCH_MODE_KEYWORD, pb.SEARCH_MODE_SEMANTIC])
async def test_every_mode_brings_neighbours(knowledge, mode):
    answer = await search(knowledge, "retired teacher", mode=mode, limit=1, expand=10)

    assert len(answer.hits[0].beside) == 4


async def test_no_item_is_twice_in_an_answer(knowledge):
    answer = await search(knowledge, "cello teacher shoes", limit=2, expand=3)

    shown = [hit.item.content for hit in answer.hits]
    shown += [one.item.content for hit in answer.hits for one in hit.beside]
    assert sorted(shown) == sorted(set(shown))
    assert len(shown) == len(SAID)


async def test_neighbours_that_are_too_large_for_an_answer_are_those_of_the_best_hits(
    knowledge: Stub, monkeypatch: pytest.MonkeyPatch
):
    asked = {"query": "cello Friday", "mode": pb.SEARCH_MODE_KEYWORD, "expand": 1}
    whole = await search(knowledge, **asked)
    assert [len(hit.beside) for hit in whole.hits] == [1, 1]
    monkeypatch.setattr("knowledge_svc.wire.searching._MOST_BYTES", whole.ByteSize() - 50)

    answer = await search(knowledge, **asked)

    assert [hit.item for hit in answer.hits] == [hit.item for hit in whole.hits]
    assert [len(hit.beside) for hit in answer.hits] == [1, 0]


async def test_hits_below_a_score_are_left_out(knowledge):
    everything = await search(knowledge, "the cello of a teacher")
    scores = [hit.score for hit in everything.hits]

    some = await search(knowledge, "the cello of a teacher", min_score=scores[1])

    assert [hit.score for hit in some.hits] == scores[:2]
    assert not (await search(knowledge, "cello", min_score=99)).hits


async def test_a_score_says_what_it_is_made_of(knowledge):
    answer = await search(knowledge, "Which musical instrument did he purchase?")

    scores = {hit.item.content: hit.scores for hit in answer.hits}
    assert ("bought", "purchas") in {(k.found, k.asked) for k in scores[SAID[0]].kin}
    assert scores[SAID[0]].keyword > 0
    assert all(0 < kin.share < 1 for kin in scores[SAID[0]].kin)
    assert scores[SAID[1]].conversation > 0


async def test_the_same_search_answers_the_same_in_the_same_order(knowledge):
    answers = [await search(knowledge, "what did you buy, and where?") for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize(
    ("changes", "bad"),
    [
        ({"expand": -1}, "expand"),
        ({"expand": 11}, "expand"),
        ({"min_score": float("nan")}, "min_score"),
        ({"rerank": True}, "rerank"),
    ],
)
async def test_what_cannot_be_asked_names_the_field(knowledge, changes, bad):
    code, _, fields = await refusal(search(knowledge, "cello", **changes))

    assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, [bad])


async def reranked_by(database: Database, reranker: Reranker, **changes: Any) -> Any:
    async with knowledge_service(database, reranker=reranker) as stub:
        await talk(stub)
        return await search(stub, "cello", rerank=True, **changes)


async def test_a_reranker_puts_the_best_in_order(database):
    reranker = ScriptedReranker(len)

    answer = await reranked_by(database, reranker, limit=2)

    contents = [hit.item.content for hit in answer.hits]
    assert contents == sorted(SAID, key=len, reverse=True)[:2]
    assert answer.reranked
    assert answer.hits[0].score == answer.hits[0].scores.rerank == len(contents[0])
    [(query, texts)] = reranker.asked
    assert (query, set(texts)) == ("cello", set(SAID))


async def test_the_least_score_is_the_rerankers_where_it_reranks(database):
    answer = await reranked_by(database, ScriptedReranker(len), min_score=40)

    assert [hit.score for hit in answer.hits] == [46, 44]


async def test_a_reranker_that_fails_leaves_the_order_as_it_was_and_is_told(database):
    answer = await reranked_by(database, ScriptedReranker(failing), limit=1)

    assert [hit.item.content for hit in answer.hits] == [SAID[0]]
    assert not answer.reranked
    assert not answer.degraded


@dataclass
class Understanding:
    """An embedder that knows which texts speak of the same."""

    topics: dict[str, int]
    calibration: Calibration
    model: str = "understanding"
    dimension: int = 8

    async def load(self) -> None:
        pass

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[list[float]]:
        return [
            [float(place == self.topics.get(text, 7)) for place in range(self.dimension)]
            for text in texts
        ]


@pytest.mark.parametrize(("weight", "first"), [(0.05, 0), (1.0, 1)])
async def test_an_embedder_helps_as_much_as_it_says_it_can(database, weight, first):
    """The answer shares no word with the question, and another text shares one."""
    question = "Who taught him the strings?"
    contents = ("He tied strings to the fence.", "A lady from Lund gave lessons on the cello.")
    topics = {question: 1, contents[1]: 1, contents[0]: 2}
    embedder = Understanding(topics, Calibration(unrelated=0.0, weight=weight))

    async with knowledge_service(database, embedder=embedder) as stub:
        for content in contents:
            stored = await stub.StoreKnowledge(a_request(content))
            await search(stub, "x", at_least=[stored.index_token])
        answer = await search(stub, question)

    assert answer.hits[0].item.content == contents[first]
