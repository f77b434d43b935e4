"""KnowledgeService.SearchKnowledge over a real channel, on the embedded Postgres."""

import threading
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.terms import query_terms
from svckit import ids, structs
from svckit.errors import Unavailable
from tests.support.cluster import Database
from tests.support.knowledge import (
    FailingEmbedder,
    GatedIndex,
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
MODES = [HYBRID, SEMANTIC, KEYWORD]


@pytest.fixture
async def knowledge(database: Database) -> AsyncIterator[Stub]:
    """A running service, without an item."""
    async with knowledge_service(database) as stub:
        yield stub


async def stored(knowledge: Stub, *requests: pb.StoreKnowledgeRequest | str) -> list[str]:
    """Store all and wait until they are indexed; their ids."""
    batch = [a_request(one) if isinstance(one, str) else one for one in requests]
    answer = await knowledge.BatchStoreKnowledge(pb.BatchStoreKnowledgeRequest(requests=batch))
    tokens = [result.response.index_token for result in answer.results]
    for start in range(0, len(tokens), 100):
        seen = await search(knowledge, "x", at_least=tokens[start : start + 100])
        assert not seen.pending_tokens
    return [result.response.knowledge_id for result in answer.results]


async def search(
    knowledge: Stub, query: str, mode: Any = HYBRID, seconds: float = 20, **changes: Any
) -> pb.SearchKnowledgeResponse:
    return await knowledge.SearchKnowledge(
        pb.SearchKnowledgeRequest(query=query, mode=mode, **changes), timeout=seconds
    )


async def found(knowledge: Stub, query: str, mode: Any = HYBRID, **changes: Any) -> list[str]:
    """The contents that a search finds, best first."""
    answer = await search(knowledge, query, mode, **changes)
    return [hit.item.content for hit in answer.hits]


def within(**changes: Any) -> knowledge_pb2.KnowledgeFilter:
    metadata = changes.pop("metadata", None)
    return knowledge_pb2.KnowledgeFilter(
        **changes, metadata=None if metadata is None else structs.from_dict(metadata)
    )


@pytest.mark.parametrize("mode", MODES)
async def test_what_was_said_is_found(knowledge, mode):
    said = "My daughter Mia starts school in September."
    await stored(knowledge, said, "We had pasta for dinner.", "The train to Berlin was late.")

    assert (await found(knowledge, "When does school start for the daughter?", mode))[0] == said


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("said", "query"),
    [
        ("❤️🎉", "❤️"),
        ("party 👩‍👩‍👧 at ours", "👩‍👩‍👧"),
        ("👍🏽", "👍"),
        ("أحب القهوة في الصباح", "القهوة"),
        ("אני אוהבת קפה בבוקר", "קפה"),
        ("我每天早上喝咖啡", "喝咖啡"),
        ("毎朝コーヒーを飲みます", "コーヒー"),
        ("나는 아침마다 커피를 마신다", "커피"),
        ("ฉันดื่มกาแฟทุกเช้า", "กาแฟ"),
        ("Ich trinke morgens gern Kaffee, schön heiß", "SCHON HEISS"),
        ("x" * 5000, "x" * 5000),
        ("the first words, " + "and more of them " * 1925 + "!", "first"),
        ("What is it?", "what is it"),
        ("It was 3.14 or so", "3.14"),
    ],
)
async def test_text_of_any_kind_is_found_as_it_was_said(knowledge, mode, said, query):
    await stored(knowledge, said, "Nothing of this kind.", "完全不同的事情", "🐢")

    contents = await found(knowledge, query, mode)

    assert said in contents
    assert mode == SEMANTIC or contents[0] == said


async def test_a_hit_says_why_and_where_it_comes_from(knowledge):
    event = ids.new()
    await stored(
        knowledge,
        a_request("red wine", source_event_id=event, source_position=7),
        "blue cheese",
    )

    [hit, *_] = (await search(knowledge, "red wine")).hits
    [by_words] = (await search(knowledge, "red", KEYWORD)).hits
    by_meaning = (await search(knowledge, "red wine", SEMANTIC)).hits

    assert (hit.item.source_event_id, hit.item.source_position) == (event, 7)
    assert hit.scores.keyword > 0
    assert hit.scores.semantic == pytest.approx(1, abs=1e-4)
    assert by_words.score == by_words.scores.keyword > 0
    assert not by_words.scores.HasField("semantic")
    assert [h.score for h in by_meaning] == [h.scores.semantic for h in by_meaning]
    assert len(by_meaning) == 2
    assert not any(h.scores.HasField("keyword") for h in by_meaning)


@pytest.mark.parametrize("mode", MODES)
async def test_hits_are_limited_and_in_the_same_order_each_time(knowledge, mode):
    await stored(
        knowledge, *(a_request("the same words", source_event_id=ids.new()) for _ in range(30))
    )

    answers = [await search(knowledge, "same words", mode, limit=12) for _ in range(3)]

    orders = [[hit.item.knowledge_id for hit in answer.hits] for answer in answers]
    assert orders[0] == orders[1] == orders[2] == sorted(orders[0])
    assert len(orders[0]) == 12
    assert len((await search(knowledge, "same", mode)).hits) == 10
    assert len((await search(knowledge, "same", mode, limit=1000)).hits) == 30


@pytest.mark.parametrize("mode", MODES)
async def test_a_search_looks_only_where_it_is_told_to(knowledge, mode):
    ann, group, session = ids.new(), ids.new(), ids.new()
    await stored(
        knowledge,
        a_request("tea a", namespace="notes", metadata={"n": 1, "deep": {"x": [1], "y": 2}}),
        a_request("tea b", subject_id=ann, platform="discord", metadata={"n": 2}),
        a_request("tea c", group_id=group, metadata={"deep": {"x": [1]}}),
        a_request("tea d", session_id=session, subject_id=ids.new()),
    )

    async def hits(**changes: Any) -> str:
        contents = await found(knowledge, "tea", mode, filter=within(**changes))
        return "".join(sorted(content[-1] for content in contents))

    assert await hits() == "abcd"
    assert await hits(namespaces=["notes", "elsewhere"]) == "a"
    assert await hits(namespaces=["elsewhere"]) == ""
    assert await hits(subject_ids=[ann, ids.new()]) == "b"
    assert await hits(platform="discord") == "b"
    assert await hits(group_id=group) == "c"
    assert await hits(session_id=session) == "d"
    assert await hits(metadata={"n": 1}) == "a"
    assert await hits(metadata={"n": 2.0}) == "b"
    assert await hits(metadata={"deep": {"x": [1]}}) == "c"
    assert await hits(metadata={"deep": {"y": 2, "x": [1]}, "n": 1}) == "a"
    assert await hits(metadata={"deep": {"y": 2}}) == ""
    assert await hits(metadata={"n": "1"}) == ""
    assert await hits(platform="discord", metadata={"n": 1}) == ""


@pytest.mark.parametrize("mode", [HYBRID, SEMANTIC])
async def test_what_no_vector_index_can_filter_by_still_fills_the_page(knowledge, mode):
    """The few that fit are far from the query, behind all the others."""
    few = [
        a_request(f"the invoice of month {n}", metadata={"kind": "rare"}, namespace="mixed")
        for n in range(5)
    ]
    many = [
        a_request(f"my dog likes walk number {n}", metadata={"kind": "common"}) for n in range(300)
    ]
    await stored(knowledge, *few, *many)

    contents = await found(
        knowledge, "dog walk", mode, limit=5, filter=within(metadata={"kind": "rare"})
    )

    if mode == SEMANTIC:
        assert sorted(contents) == sorted(one.item.content for one in few)
    assert all("invoice" in content for content in contents)


async def test_beyond_what_can_be_compared_one_by_one_it_looks_further(knowledge):
    """Too many fit for a list of their ids, and the nearest of all do not fit."""
    crowd = [a_request(f"dog {n}", metadata={"kind": "crowd"}) for n in range(400)]
    fitting = [a_request(f"page {n}", metadata={"kind": "page"}) for n in range(2100)]
    for start in range(0, 2500, 1000):
        await stored(knowledge, *[*crowd, *fitting][start : start + 1000])

    contents = await found(
        knowledge, "dog", SEMANTIC, limit=20, filter=within(metadata={"kind": "page"})
    )

    assert len(contents) == 20
    assert all(content.startswith("page") for content in contents)


@pytest.mark.parametrize("mode", MODES)
async def test_a_query_with_nothing_in_it_to_look_for_is_answered(knowledge, mode):
    await stored(knowledge, "something")

    answer = await search(knowledge, "…!?", mode)

    assert mode != KEYWORD or not answer.hits
    assert not answer.degraded


async def test_a_write_is_seen_by_a_search_that_asks_for_it(knowledge):
    for n in range(20):
        response = await knowledge.StoreKnowledge(a_request(f"the secret number is {n * 7919}"))

        answer = await search(
            knowledge, "secret number", SEMANTIC, limit=100, at_least=[response.index_token]
        )

        assert response.knowledge_id in [hit.item.knowledge_id for hit in answer.hits]
        assert not answer.pending_tokens


async def test_what_still_is_pending_when_time_is_up_is_said(database):
    embedder = FailingEmbedder(lambda texts: Unavailable("away") if "harbour" in texts else None)
    async with knowledge_service(database, embedder=embedder) as knowledge:
        quick = (await knowledge.StoreKnowledge(a_request("quick"))).index_token
        await search(knowledge, "quick", at_least=[quick])
        slow = (await knowledge.StoreKnowledge(a_request("harbour"))).index_token

        answer = await search(knowledge, "quick", seconds=1, at_least=[quick, slow])

    assert list(answer.pending_tokens) == [slow]
    assert [hit.item.content for hit in answer.hits] == ["quick"]


async def test_what_is_pending_is_found_by_words_at_once(database):
    embedder = FailingEmbedder(lambda texts: Unavailable("away") if "fresh news" in texts else None)
    async with knowledge_service(database, embedder=embedder) as knowledge:
        await knowledge.StoreKnowledge(a_request("fresh news"))

        by_words = (await search(knowledge, "news", KEYWORD)).hits
        by_both = (await search(knowledge, "news")).hits
        by_meaning = (await search(knowledge, "news", SEMANTIC)).hits

    assert [h.item.index_state for h in by_words] == [knowledge_pb2.INDEX_STATE_PENDING]
    assert [h.item.content for h in by_both] == ["fresh news"]
    assert not by_meaning


@pytest.mark.parametrize("broken", ["embedder", "index"])
async def test_without_meaning_words_still_find(database, broken):
    embedder = FailingEmbedder(
        lambda texts: RuntimeError("no model") if broken == "embedder" and "tea" in texts else None
    )
    gates = []

    def gated(index: Any) -> GatedIndex:
        gates.append(GatedIndex(index))
        gates[0].may_return.set()
        return gates[0]

    async with knowledge_service(database, embedder=embedder, index=gated) as knowledge:
        await stored(knowledge, "tea with milk", "coffee")
        gates[0].fault = Unavailable("no index") if broken == "index" else None

        hybrid = await search(knowledge, "tea")
        keyword = await search(knowledge, "tea", KEYWORD)
        refused = await refusal(search(knowledge, "tea", SEMANTIC))

    assert hybrid.degraded
    assert [hit.item.content for hit in hybrid.hits] == ["tea with milk"]
    assert not keyword.degraded
    assert refused == (grpc.StatusCode.UNAVAILABLE, "SEMANTIC_SEARCH_UNAVAILABLE", [])


async def test_vectors_that_were_left_behind_do_not_shorten_the_page(knowledge, database):
    """Their items are gone, and they are nearer than all others."""
    await stored(knowledge, *(f"dog {n}" for n in range(60)), *(f"page {n}" for n in range(60)))
    async with as_administrator(database) as admin:
        await admin.execute("DELETE FROM knowledge.knowledge_items WHERE content LIKE 'dog%'")

    contents = await found(knowledge, "dog", SEMANTIC, limit=30)

    assert len(contents) == 30
    assert all(content.startswith("page") for content in contents)


async def test_a_deleted_item_is_found_in_no_mode(knowledge):
    [kept, gone] = await stored(knowledge, "tea one", "tea two")

    await knowledge.DeleteKnowledge(pb.DeleteKnowledgeRequest(knowledge_id=gone))

    for mode in MODES:
        answer = await search(knowledge, "tea two", mode)
        assert [hit.item.knowledge_id for hit in answer.hits] == [kept]


async def test_a_search_that_waits_ends_when_another_replica_has_indexed(database):
    stuck = FailingEmbedder(lambda texts: Unavailable("away") if "shared" in texts else None)
    async with knowledge_service(database, embedder=stuck) as one:
        token = (await one.StoreKnowledge(a_request("shared"))).index_token
        assert (await search(one, "x", seconds=0.4, at_least=[token])).pending_tokens
        async with knowledge_service(database) as other:

            async def seen() -> bool:
                return not (await search(one, "x", KEYWORD, at_least=[token])).pending_tokens

            assert await eventually(seen)
            assert await found(other, "shared", SEMANTIC) == ["shared"]


@pytest.mark.parametrize("mode", [HYBRID, KEYWORD])
async def test_a_question_that_takes_long_to_take_apart_keeps_nobody_waiting(
    knowledge: Stub, monkeypatch: pytest.MonkeyPatch, mode: Any
):
    threads: list[int] = []

    def noting(text: str) -> list[str]:
        threads.append(threading.get_ident())
        return query_terms(text)

    monkeypatch.setattr("knowledge_svc.search.query_terms", noting)

    await search(knowledge, "\ufdfa" * 2_600, mode=mode)

    assert threads
    assert threading.get_ident() not in threads
