"""Filters on metadata through the whole service, on pgvector and on Pinecone."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from kith.knowledge.v1 import knowledge_pb2
from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc import nearness
from knowledge_svc.adapters.pinecone import PineconePlace, open_pinecone
from knowledge_svc.domain.filters import (
    MOST_COMPARISONS,
    MOST_DEPTH,
    MOST_VALUE_BYTES,
    AllOf,
    AnyOf,
    Compared,
    Exists,
    NoneOf,
    OneOf,
    parsed,
)
from svckit import ids, structs
from svckit.errors import InvalidRequest
from tests.support import pinecone
from tests.support.cluster import Database
from tests.support.knowledge import Stub, a_request, knowledge_service, refusal
from tests.support.metadata import FILTERS, METADATA, Json, examples, fits

HYBRID, SEMANTIC, KEYWORD = (
    pb.SEARCH_MODE_HYBRID,
    pb.SEARCH_MODE_SEMANTIC,
    pb.SEARCH_MODE_KEYWORD,
)


@asynccontextmanager
async def on_pgvector(database: Database, _: pytest.MonkeyPatch) -> AsyncIterator[Stub]:
    async with knowledge_service(database) as stub:
        yield stub


@asynccontextmanager
async def on_pinecone(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stub]:
    stand_in = pinecone.Pinecone()
    async with stand_in.running() as url:
        monkeypatch.setenv("PINECONE_CONTROLLER_HOST", url)
        stand_in.add("kith", 256)
        async with (
            open_pinecone(pinecone.KEY, PineconePlace("kith")) as vectors,
            knowledge_service(database, index=lambda _: vectors) as stub,
        ):
            yield stub


@pytest.fixture(params=[on_pgvector, on_pinecone], ids=["pgvector", "pinecone"])
async def knowledge(
    request: pytest.FixtureRequest, database: Database, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stub]:
    """A running service on each vector index in turn, without an item."""
    async with request.param(database, monkeypatch) as stub:
        yield stub


def chosen(condition: Json, **others: Any) -> knowledge_pb2.KnowledgeFilter:
    return knowledge_pb2.KnowledgeFilter(metadata=structs.from_dict(condition), **others)


async def stored(knowledge: Stub, *requests: pb.StoreKnowledgeRequest) -> list[str]:
    """Store all and wait until they are indexed; their ids."""
    found = []
    for start in range(0, len(requests), 1000):
        batch = pb.BatchStoreKnowledgeRequest(requests=requests[start : start + 1000])
        found += [one.response for one in (await knowledge.BatchStoreKnowledge(batch)).results]
    for start in range(0, len(found), 100):
        tokens = [one.index_token for one in found[start : start + 100]]
        seen = await search(knowledge, "x", HYBRID, at_least=tokens)
        assert not seen.pending_tokens
    return [one.knowledge_id for one in found]


async def search(
    knowledge: Stub, query: str, mode: Any, **changes: Any
) -> pb.SearchKnowledgeResponse:
    request = pb.SearchKnowledgeRequest(query=query, mode=mode, **changes)
    return await knowledge.SearchKnowledge(request, timeout=20)


async def test_lists_and_searches_find_what_fits(knowledge):
    metadata = examples(METADATA, 60)
    requests = [a_request(f"tea {n}", metadata=one) for n, one in enumerate(metadata)]
    held = dict(zip(await stored(knowledge, *requests), metadata, strict=True))

    for condition in examples(FILTERS, 100):
        expected = {one for one, metadata in held.items() if fits(metadata, condition)}
        given = chosen(condition)
        listed = await knowledge.ListKnowledge(pb.ListKnowledgeRequest(filter=given, page_size=500))
        assert {item.knowledge_id for item in listed.items} == expected, condition
        for mode in (SEMANTIC, KEYWORD, HYBRID):
            answer = await search(knowledge, "tea", mode, filter=given, limit=100)
            hits = {hit.item.knowledge_id for hit in answer.hits}
            assert not answer.degraded
            assert hits == expected, (condition, mode)


@pytest.mark.parametrize("mode", [SEMANTIC, HYBRID])
async def test_the_page_is_full_however_far_away_stands_what_fits(knowledge, monkeypatch, mode):
    """More fit than can be named, and none of them is among the nearest that are looked at."""
    monkeypatch.setattr(nearness, "MOST_IDS", 50)
    monkeypatch.setattr(nearness, "MOST_MATCHES", 300)
    near = [a_request(f"my dog likes walk number {n}", metadata={"n": 0}) for n in range(350)]
    far = [a_request(f"pets in the garden {n}", metadata={"n": n % 7 + 1}) for n in range(130)]
    await stored(knowledge, *near, *far)

    answer = await search(knowledge, "dog walk", mode, filter=chosen({"n": {"$gte": 2}}), limit=60)
    rare = await search(
        knowledge, "dog walk", mode, filter=chosen({"n": {"$gt": 6, "$ne": 0}}), limit=60
    )
    nothing = await search(knowledge, "dog walk", mode, filter=chosen({"n": {"$lt": 0}}))

    assert not answer.degraded
    assert len(answer.hits) == 60
    assert all(structs.to_dict(hit.item.metadata)["n"] >= 2 for hit in answer.hits)
    assert len(rare.hits) == 18
    assert not nothing.hits
    similarities = [hit.scores.semantic for hit in answer.hits]
    if mode == SEMANTIC:
        assert similarities == sorted(similarities, reverse=True)
        everything = await search(knowledge, "dog walk", mode, filter=chosen({"n": 3}), limit=1)
        best = next(hit for hit in answer.hits if structs.to_dict(hit.item.metadata)["n"] == 3)
        assert everything.hits[0].item.knowledge_id == best.item.knowledge_id


async def test_a_search_that_asks_for_scores_out_of_reach_looks_no_further(knowledge, monkeypatch):
    monkeypatch.setattr(nearness, "MOST_IDS", 10)
    requests = [a_request(f"the invoice of month {n}", metadata={"n": n}) for n in range(260)]
    await stored(knowledge, *requests)

    answer = await search(
        knowledge, "dog", SEMANTIC, filter=chosen({"n": {"$gte": 0}}), min_score=0.99
    )

    assert not answer.hits


async def test_metadata_narrows_beside_everything_else(knowledge):
    ann, ben = ids.new(), ids.new()
    await stored(
        knowledge,
        a_request("tea 1", subject_id=ann, namespace="notes", metadata={"$os": "x", "price": 5}),
        a_request("tea 2", subject_id=ann, metadata={"price": 50}),
        a_request("tea 3", subject_id=ben, metadata={"price": 5}),
    )

    async def found(condition: Json, **others: Any) -> list[str]:
        answer = await search(knowledge, "tea", HYBRID, filter=chosen(condition, **others))
        return sorted(hit.item.content for hit in answer.hits)

    assert await found({"price": {"$lt": 10}}) == ["tea 1", "tea 3"]
    assert await found({"price": {"$lt": 10}}, subject_ids=[ann]) == ["tea 1"]
    assert await found({"price": {"$gt": 1}}, subject_ids=[ann]) == ["tea 1", "tea 2"]
    assert await found({"price": {"$in": [5, 50]}}, namespaces=["default"]) == ["tea 2", "tea 3"]


async def test_a_page_token_belongs_to_its_filter(database):
    async with knowledge_service(database) as knowledge:
        await stored(knowledge, *[a_request(f"{n}", metadata={"n": n}) for n in range(5)])
        given = chosen({"n": {"$gte": 1}, "m": {"$exists": False}})
        request = pb.ListKnowledgeRequest(filter=given, page_size=3)

        first = await knowledge.ListKnowledge(request)
        request.page_token = first.next_page_token
        second = await knowledge.ListKnowledge(request)
        request.filter.CopyFrom(chosen({"n": {"$gte": 2}, "m": {"$exists": False}}))

        assert [item.content for item in first.items] == ["4", "3", "2"]
        assert [item.content for item in second.items] == ["1"]
        assert (await refusal(knowledge.ListKnowledge(request)))[2] == ["page_token"]


def test_a_filter_becomes_a_tree():
    given = {
        "kind": "pet", "n": {"$gte": 1, "$lt": 5}, "x": {"$nin": [1, None]},
        "$or": [{"a": {"$exists": False}}, {"b": {"c": 1}}, {"$and": [{"d": {"$ne": True}}]}],
    }  # fmt: skip

    assert parsed(given, "filter") == AllOf(
        (
            OneOf("kind", ("pet",)),
            Compared("n", ">=", 1),
            Compared("n", "<", 5),
            NoneOf("x", (1, None)),
            AnyOf(
                (
                    Exists("a", False),
                    OneOf("b", ({"c": 1},)),
                    AllOf((NoneOf("d", (True,)),)),
                )
            ),
        )
    )
    assert parsed({}, "filter") is None


def deep(levels: int) -> Json:
    return {"$or": [deep(levels - 1)]} if levels else {"k": 1}


LONG = "x" * MOST_VALUE_BYTES
BAD_FILTERS: list[tuple[Json, str]] = [
    ({"$gt": 3}, "$gt"),
    ({"$eq": {"k": 1}}, "$eq"),
    ({"$not": {"k": 1}}, "$not"),
    ({"$": 1}, "$"),
    ({"$AND": [{"k": 1}]}, "$AND"),
    ({"k": {"$regex": "x"}}, "k.$regex"),
    ({"k": {"$not": {"$gt": 1}}}, "k.$not"),
    ({"k": {"$gt": 1, "x": 2}}, "k.x"),
    ({"k": {"x": 1, "$gt": 2}}, "k.x"),
    ({"k": {"$and": [{"$gt": 1}]}}, "k.$and"),
    ({"k": {"x": {"$gt": 1}}}, "k.x.$gt"),
    ({"k": [{"$in": 1}]}, "k[0].$in"),
    ({"k": {"$eq": {"x": [{"$y": 1}]}}}, "k.$eq.x[0].$y"),
    ({"k": {"$in": [1, {"$y": 1}]}}, "k.$in[1].$y"),
    ({"$and": []}, "$and"),
    ({"$or": []}, "$or"),
    ({"$or": {}}, "$or"),
    ({"$or": {"k": 1}}, "$or"),
    ({"$or": [{"k": 1}, {}]}, "$or[1]"),
    ({"$or": [{"k": 1}, "x"]}, "$or[1]"),
    ({"$or": [{"k": 1}, {"price": {"$gt": None}}]}, "$or[1].price.$gt"),
    ({"$and": [{"$or": [{"k": 1}, {"a": {"$lt": [1]}}]}]}, "$and[0].$or[1].a.$lt"),
    ({"k": {"$gt": True}}, "k.$gt"),
    ({"k": {"$gte": {}}}, "k.$gte"),
    ({"k": {"$lte": []}}, "k.$lte"),
    ({"k": {"$in": 1}}, "k.$in"),
    ({"k": {"$in": {"x": 1}}}, "k.$in"),
    ({"k": {"$nin": "abc"}}, "k.$nin"),
    ({"k": {"$nin": None}}, "k.$nin"),
    ({"k": {"$exists": 1}}, "k.$exists"),
    ({"k": {"$exists": None}}, "k.$exists"),
    (deep(MOST_DEPTH + 1), "$or[0]." * MOST_DEPTH + "$or"),
    ({f"k{n}": n for n in range(MOST_COMPARISONS + 1)}, f"k{MOST_COMPARISONS}"),
    ({"k": {"$in": [0] * (MOST_COMPARISONS + 1)}}, "k.$in"),
    ({"a": {"$in": [0] * (MOST_COMPARISONS - 1)}, "b": 1}, "b"),
    ({"k": {"x": [0] * (MOST_COMPARISONS - 1)}}, "k"),
    ({"k": {"$nin": [[0] * 60] * 5}}, "k.$nin"),
    ({"$or": [{"k": 1}] * (MOST_COMPARISONS + 1)}, "$or"),
    ({"k": LONG}, "k"),
    ({"k": {"$gt": LONG}}, "k.$gt"),
    ({"k": {"$in": ["x", LONG]}}, "k.$in[1]"),
    ({"k": {"$ne": [LONG]}}, "k.$ne"),
]


@pytest.mark.parametrize(("condition", "spot"), BAD_FILTERS, ids=[spot for _, spot in BAD_FILTERS])
def test_a_malformed_filter_names_the_spot(condition: Json, spot: str):
    with pytest.raises(InvalidRequest) as refused:
        parsed(condition, "filter.metadata")

    [(field, problem)] = refused.value.violations
    assert field == f"filter.metadata.{spot}"
    assert problem


def test_what_is_just_within_the_bounds_is_taken():
    assert parsed(deep(MOST_DEPTH), "f")
    assert parsed({"k": {"$in": [0] * (MOST_COMPARISONS - 1)}}, "f")
    assert parsed({"k": {"x": [0] * (MOST_COMPARISONS - 2)}}, "f")
    assert parsed({"k": "x" * (MOST_VALUE_BYTES - 2)}, "f")


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ({"$or": [{"k": 1}, {"price": {"$gt": None}}]}, "filter.metadata.$or[1].price.$gt"),
        ({"k": {"$gt": float("nan")}}, "filter.metadata.k.$gt"),
        ({"k": {"$in": [2**60]}}, "filter.metadata.k.$in[0]"),
        ({"$or": [{"k\0": 1}]}, "filter.metadata.$or[0]"),
        ({"k": {"$eq": "\0"}}, "filter.metadata.k.$eq"),
        ({f"k{n}": "x" * 1000 for n in range(17)}, "filter.metadata"),
    ],
)
async def test_a_malformed_filter_is_refused_by_each_call_that_takes_one(
    database: Database, condition: Json, field: str
):
    given = chosen(condition)
    async with knowledge_service(database) as knowledge:
        calls = [
            knowledge.SearchKnowledge(pb.SearchKnowledgeRequest(query="x", filter=given)),
            knowledge.ListKnowledge(pb.ListKnowledgeRequest(filter=given)),
        ]
        for call in calls:
            refused = await refusal(call)
            assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", [field])


def test_whatever_is_sent_is_understood_or_refused_with_a_spot():
    chance = random.Random(7)
    pieces: list[Any] = ["$and", "$or", "$in", "$gt", "$exists", "$x", "k", "", "a.b"]

    def anything(depth: int) -> Json:
        kind = chance.randrange(7 if depth else 5)
        if kind < 5:
            return [None, True, 1, 0.5, "text"][kind]
        parts = [anything(depth - 1) for _ in range(chance.randrange(4))]
        return parts if kind == 5 else {chance.choice(pieces): part for part in parts}

    refused = 0
    for _ in range(3000):
        given = anything(5)
        if not isinstance(given, dict):
            continue
        try:
            parsed(given, "f")
        except InvalidRequest as error:
            refused += 1
            assert error.violations[0][0].startswith("f.")

    assert refused
