"""POST /v1/search: where it looks, what it answers, what it leaves out."""

from typing import Any

import httpx
import pytest

from tests.support.messages import Body, a_message, fields, problem, sent
from tests.support.stack import Stack

NOBODY = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f30"


async def search(client: httpx.AsyncClient, query: str, **where: Any) -> Body:
    answer = await client.post("/v1/search", json={"query": query, **where})
    assert answer.status_code == 200, answer.text
    body: Body = answer.json()
    return body


async def found(client: httpx.AsyncClient, query: str, **where: Any) -> list[str]:
    return [hit["content"] for hit in (await search(client, query, **where))["hits"]]


async def test_a_hit_tells_what_it_is_and_where_it_comes_from(gateway: httpx.AsyncClient):
    body = a_message(
        text="My cat Turing sleeps on the radiator.", metadata={"mood": "happy"},
        timestamp="2026-03-01T09:30:00Z",
    )  # fmt: skip
    answer = await sent(gateway, body)
    token = answer["knowledge"]["index_token"]

    result = await search(gateway, "Where does the cat sleep?", at_least=token)

    [hit] = result["hits"]
    assert (result["pending"], result["degraded"]) == ([], False)
    assert hit["score"] > 0
    assert hit["scores"]["semantic"] > 0
    assert hit["scores"]["keyword"] > 0
    expected = {
        "knowledge_id": answer["knowledge"]["knowledge_id"], "content": body["text"],
        "namespace": "messages", "metadata": {"mood": "happy"}, "person_id": answer["person_id"],
        "platform": "discord", "source_event_id": answer["event_id"],
        "source_position": answer["position"], "occurred_at": "2026-03-01T09:30:00Z",
        "index_state": "indexed", "session_id": None, "group_id": None, "document_id": None,
        "place": None,
    }  # fmt: skip
    assert {name: hit[name] for name in expected} == expected


@pytest.mark.parametrize("mode", ["hybrid", "semantic", "keyword"])
async def test_each_mode_finds_what_was_said(gateway: httpx.AsyncClient, mode: str):
    tokens = [
        (await sent(gateway, a_message(text=text)))["knowledge"]["index_token"]
        for text in ("My cat Turing sleeps on the radiator.", "I play the piano every morning.")
    ]

    contents = await found(gateway, "cat radiator", mode=mode, at_least=tokens, limit=1)

    assert contents == ["My cat Turing sleeps on the radiator."]


@pytest.fixture
async def pasts(gateway: httpx.AsyncClient) -> dict[str, str]:
    """What two people said about tea, in several places; person ids by name."""
    bodies = [
        a_message(text="Green tea in the morning", timestamp="2026-01-01T00:00:00Z"),
        a_message(text="Black tea at noon", timestamp="2026-01-02T00:00:00Z", session_id="bar"),
        a_message(text="White tea at night", metadata={"mood": "calm", "n": 2, "o": {"a": 1}}),
        a_message(text="Mint tea with friends", sender_id="grace", group_id=NOBODY),
        a_message(text="Oolong tea on the phone", sender_id="grace", platform="telegram"),
    ]
    answer = await gateway.post("/v1/messages:batch", json=bodies)
    results = answer.json()["results"]
    tokens = [result["knowledge"]["index_token"] for result in results]
    assert (await search(gateway, "tea", at_least=tokens))["pending"] == []
    return {"ada": results[0]["person_id"], "grace": results[3]["person_id"]}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, {"Green", "Black", "White", "Mint", "Oolong"}),
        ({"person_id": "ada"}, {"Green", "Black", "White"}),
        ({"person_id": "grace"}, {"Mint"}),
        ({"group_id": NOBODY}, {"Mint"}),
        ({"session_id": "bar", "platform": "discord"}, {"Black"}),
        ({"session_id": "bar", "platform": "telegram"}, set()),
        ({"platform": "telegram"}, {"Oolong"}),
        ({"namespaces": ["messages"]}, {"Green", "Black", "White", "Mint", "Oolong"}),
        ({"namespaces": ["notes"]}, set()),
        ({"to": "2026-01-02T00:00:00Z"}, {"Green"}),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-03T00:00:00Z"}, {"Black"}),
        ({"filter": {"mood": "calm"}}, {"White"}),
        ({"filter": {"mood": {"$eq": "calm"}, "n": 2}}, {"White"}),
        ({"filter": {"o": {"a": 1}}}, {"White"}),
        ({"filter": {"mood": "calm", "n": 3}}, set()),
        ({"filter": {"n": {"$gt": 1, "$lte": 2}}}, {"White"}),
        ({"filter": {"mood": {"$ne": "calm"}}}, {"Green", "Black", "Mint", "Oolong"}),
        ({"filter": {"$or": [{"n": {"$in": [1, 2]}}, {"o": 1}]}}, {"White"}),
        ({"person_id": "ada", "filter": {"n": {"$exists": False}}}, {"Green", "Black"}),
    ],
)
async def test_a_search_can_be_narrowed(
    gateway: httpx.AsyncClient, pasts: dict[str, str], where: dict[str, Any], expected: set[str]
):
    if "person_id" in where:
        where = {**where, "person_id": pasts[where["person_id"]]}

    contents = await found(gateway, "tea", **where)

    assert {content.split()[0] for content in contents} == expected


async def test_a_limit_holds(gateway: httpx.AsyncClient, pasts: dict[str, str]):
    assert len(await found(gateway, "tea", limit=2)) == 2


async def test_the_knowledge_of_nobody_is_not_found(gateway: httpx.AsyncClient):
    answer = await gateway.post("/v1/search", json={"query": "tea", "person_id": NOBODY})

    assert answer.status_code == 404
    assert problem(answer)["reason"] == "PERSON_NOT_FOUND"


async def test_whoever_denies_it_now_is_left_out_and_the_page_is_full(gateway: httpx.AsyncClient):
    bodies = [
        a_message(text=f"I drink tea number {n}", sender_id="shy" if n % 2 else "open")
        for n in range(20)
    ]
    results = (await gateway.post("/v1/messages:batch", json=bodies)).json()["results"]
    tokens = [result["knowledge"]["index_token"] for result in results]
    before = await search(gateway, "tea", at_least=tokens, limit=10)

    denial = {"platform": "discord", "platform_id": "shy", "consent": {"knowledge": "denied"}}
    await gateway.post("/v1/register", json=denial)
    after = await search(gateway, "tea", limit=10)

    assert {hit["person_id"] for hit in before["hits"]} == {r["person_id"] for r in results}
    assert {hit["person_id"] for hit in after["hits"]} == {results[0]["person_id"]}
    assert len(after["hits"]) == 10


async def test_where_consent_must_be_given_silence_is_not_found(
    stack: Stack, gateway: httpx.AsyncClient
):
    await sent(gateway, a_message())

    async with stack.gateway(consent_default="deny") as strict:
        assert await found(gateway, "spare key", mode="keyword") != []
        assert await found(strict, "spare key", mode="keyword") == []


async def test_a_hit_brings_its_neighbours_along(gateway: httpx.AsyncClient):
    texts = ("I bought a cello from a retired teacher.", "How is the weather in Lund these days?")
    tokens = [
        (await sent(gateway, a_message(text=text, session_id="talk", sender_id="ann")))[
            "knowledge"
        ]["index_token"]
        for text in texts
    ]

    result = await search(gateway, "cello teacher", at_least=tokens, limit=1, expand=2)

    [hit] = result["hits"]
    [near] = hit["beside"]
    assert (hit["content"], near["content"], near["distance"]) == (*texts, 1)
    assert result["reranked"] is False


@pytest.mark.parametrize(
    ("field", "value"), [("expand", 11), ("expand", -1), ("min_score", "much"), ("rerank", True)]
)
async def test_what_a_search_cannot_bring_is_refused(
    gateway: httpx.AsyncClient, field: str, value: Any
):
    answer = await gateway.post("/v1/search", json={"query": "tea", field: value})

    assert answer.status_code == 400
    assert fields(answer) == [field]


@pytest.mark.parametrize(
    ("condition", "spot"),
    [
        ({"$or": []}, "$or"),
        ({"n": {"$like": "x"}}, "n.$like"),
        ({"$or": [{"n": 1}, {"price": {"$gt": None}}]}, "$or[1].price.$gt"),
        ({"metadata": {"$in": 3}}, "metadata.$in"),
        ({"filter.metadata": {"$in": 3}}, "filter.metadata.$in"),
    ],
)
async def test_a_malformed_filter_names_the_spot_as_the_client_sent_it(
    gateway: httpx.AsyncClient, condition: Any, spot: str
):
    answer = await gateway.post("/v1/search", json={"query": "tea", "filter": condition})

    assert answer.status_code == 400
    assert problem(answer)["reason"] == "INVALID_ARGUMENT"
    assert fields(answer) == [f"filter.{spot}"]
