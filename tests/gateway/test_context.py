"""POST /v1/context: what a prompt needs, from all services, within its budget."""

import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.app import open_gateway
from gateway.flows.tokens import estimate
from gateway.settings import Settings
from tests.support.messages import Body, a_message, eventually, fields, problem, sent
from tests.support.stack import Stack, client_of

NOBODY = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f3f"
SECTIONS = ("profile", "memories", "knowledge", "messages")


async def context(client: httpx.AsyncClient, **request: Any) -> Body:
    answer = await client.post("/v1/context", json={"query": "What shall we eat?", **request})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def texts(answer: Body) -> list[str]:
    """Everything that a context says, of whatever kind."""
    return [
        *(f"{one['key']}: {one['value']}" for one in answer["memories"]["items"]),
        *(hit["content"] for hit in answer["knowledge"]["items"]),
        *(near["content"] for hit in answer["knowledge"]["items"] for near in hit["beside"]),
        *(event["content"]["text"] for event in answer["messages"]["items"]),
    ]


@pytest.fixture
async def ada(gateway: httpx.AsyncClient) -> str:
    """Somebody of whom much is known; eighty messages ago she spoke of food."""
    person = {"platform": "telegram", "platform_id": "ada", "metadata": {"name": "Ada", "age": 36}}
    person_id = str((await gateway.post("/v1/register", json=person)).json()["person_id"])
    said = [
        "I cannot stand coriander in my soup.",
        "Which train goes to Porto tomorrow?",
        *(f"Chapter {n} of my novel is about the old harbour." for n in range(80)),
        "Tonight I would like to eat noodles.",
    ]
    bodies = [
        a_message(text=text, platform="telegram", sender_id="ada", session_id="talk")
        for text in said
    ]
    results = (await gateway.post("/v1/messages:batch", json=bodies)).json()["results"]
    memories = {
        "memories": [
            {"key": "favourite_food", "value": "ramen with a soft egg", "importance": 0.2},
            {"key": "allergy", "value": "peanuts", "importance": 1.0},
            {"key": "shoe_size", "value": "39", "importance": 0.1},
        ]
    }
    done = await gateway.post(f"/v1/persons/{person_id}/memories", json=memories)
    tokens = [one["index_token"] for one in done.json()["memories"]]
    tokens += [one["knowledge"]["index_token"] for one in results[-40:]]
    await gateway.post("/v1/search", json={"query": "x", "at_least": tokens})
    return person_id


async def test_many_memories_leave_room_for_what_else_is_known(
    gateway: httpx.AsyncClient, ada: str
):
    memories = [{"key": f"soup_{n}", "value": f"She eats soup number {n}"} for n in range(60)]
    done = await gateway.post(f"/v1/persons/{ada}/memories", json={"memories": memories})
    tokens = [one["index_token"] for one in done.json()["memories"]]

    answer = await context(
        gateway, person_id=ada, query="She eats soup number 7", token_budget=1500, at_least=tokens
    )

    contents = [one["content"] for one in answer["knowledge"]["items"]]
    assert "I cannot stand coriander in my soup." in contents
    assert not any("number" in one for one in contents)


async def test_it_brings_what_matters_from_everywhere_with_its_source(
    gateway: httpx.AsyncClient, ada: str
):
    query = "What soup does she eat?"
    answer = await context(
        gateway, person_id=ada, query=query, token_budget=3000, render="markdown"
    )

    assert (answer["person_id"], answer["missing"], answer["degraded"]) == (ada, [], False)
    profile = answer["profile"]
    assert profile["metadata"] == {"name": "Ada", "age": 36}
    assert [(link["platform"], link["platform_id"]) for link in profile["links"]] == [
        ("telegram", "ada")
    ]
    memories = {one["key"]: one for one in answer["memories"]["items"]}
    assert "importance" in memories["allergy"]["found_by"]
    assert memories["favourite_food"]["memory_id"] and memories["favourite_food"]["version"] == 1
    assert memories["favourite_food"]["score"] > 0
    [soup] = [hit for hit in answer["knowledge"]["items"] if "coriander" in hit["content"]]
    assert soup["score"] > 0 and soup["source_event_id"]
    messages = answer["messages"]["items"]
    assert messages[-1]["content"]["text"] == "Tonight I would like to eat noodles."
    positions = [event["position"] for event in messages]
    assert positions == list(range(positions[0], positions[0] + len(positions)))
    # Nothing is said twice, and the text says the same.
    assert len(texts(answer)) == len(set(texts(answer)))
    text = answer["text"]
    assert all(said in text for said in texts(answer))
    assert text.startswith("## Who they are\n- age: 36\n- name: Ada\n- on telegram: ada\n")
    assert text.rstrip().endswith("user: Tonight I would like to eat noodles.")
    assert estimate(text) <= answer["tokens"] <= 3000
    assert answer["tokens"] == sum(answer[name]["tokens"] for name in SECTIONS)


async def test_a_budget_holds_whatever_it_is(gateway: httpx.AsyncClient, ada: str):
    sizes = []
    for budget in (1, 5, 12, 20, 40, 80, 160, 400, 900, 2500, 10_000, 200_000):
        request = {"person_id": ada, "token_budget": budget, "render": "markdown"}
        answer = await context(gateway, **request)
        again = await context(gateway, **request)

        assert {**answer, "memories": 0} == {**again, "memories": 0}
        assert estimate(answer["text"]) <= answer["tokens"] <= budget
        assert len(texts(answer)) == len(set(texts(answer)))
        sizes.append(len(texts(answer)))
    assert sizes[0] == 0
    assert sizes == sorted(sizes)
    assert sizes[-1] > 80
    assert answer["memories"]["left_out"] == 0


async def test_a_person_is_found_by_their_platform_too(gateway: httpx.AsyncClient, ada: str):
    by_platform = await context(gateway, platform="telegram", sender_id="ada")
    unknown = await gateway.post(
        "/v1/context", json={"query": "q", "platform": "telegram", "sender_id": "eve"}
    )
    nobody = await gateway.post("/v1/context", json={"query": "q", "person_id": NOBODY})
    no_id = await gateway.post(
        "/v1/context", json={"query": "q", "platform": "telegram", "sender_id": "@"}
    )

    assert by_platform["person_id"] == ada
    assert by_platform["text"] is None
    assert (unknown.status_code, problem(unknown)["reason"]) == (404, "LINK_NOT_FOUND")
    assert (nobody.status_code, problem(nobody)["reason"]) == (404, "PERSON_NOT_FOUND")
    assert fields(no_id) == ["sender_id"]


async def test_a_service_that_is_away_leaves_its_sections_empty(
    stack: Stack, gateway: httpx.AsyncClient, ada: str
):
    await stack.stop("event")
    without_events = await context(gateway, person_id=ada)
    await stack.stop("knowledge")
    without_both = await context(gateway, person_id=ada)
    await stack.start("event")

    async def events_are_back() -> Body | None:
        answer = await context(gateway, person_id=ada)
        return answer if answer["messages"]["items"] else None

    without_knowledge = await eventually(events_are_back)
    await stack.stop("identity")
    without_identity = await gateway.post("/v1/context", json={"query": "q", "person_id": ada})

    assert without_events["missing"] == [{"section": "messages", "reason": "unavailable"}]
    assert without_events["messages"]["items"] == []
    assert without_events["memories"]["items"] and without_events["knowledge"]["items"]
    assert [one["section"] for one in without_both["missing"]] == [
        "knowledge", "memories", "messages"
    ]  # fmt: skip
    assert without_both["profile"]["metadata"]["name"] == "Ada"
    assert without_knowledge is not None
    assert [one["section"] for one in without_knowledge["missing"]] == ["knowledge", "memories"]
    assert all(one["degraded"] for one in (without_events, without_both, without_knowledge))
    # Who they are and what they allow is not known then.
    assert (without_identity.status_code, problem(without_identity)["reason"]) == (
        503, "SERVICE_UNAVAILABLE"
    )  # fmt: skip


async def test_a_service_that_does_not_answer_takes_no_more_than_its_time(
    stack: Stack, gateway: httpx.AsyncClient, ada: str
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = "{}:{}".format(*silent.getsockname())
        async with stack.gateway(knowledge_address=address, request_seconds=1.5) as hurried:
            answer = await context(hurried, person_id=ada)

    assert answer["missing"] == [
        {"section": section, "reason": "timeout"} for section in ("knowledge", "memories")
    ]
    assert answer["messages"]["items"] and answer["profile"]["links"]


@pytest.mark.parametrize(
    ("purpose", "missing"),
    [("knowledge", ["knowledge", "memories"]), ("messages", ["knowledge", "memories", "messages"])],
)
async def test_what_is_denied_is_left_out(
    gateway: httpx.AsyncClient, ada: str, purpose: str, missing: list[str]
):
    denial = {"purposes": {purpose: "denied"}}
    await gateway.patch(f"/v1/persons/{ada}/consent", json=denial)

    answer = await context(gateway, person_id=ada, render="markdown")

    assert answer["missing"] == [
        {"section": section, "reason": "consent_denied"} for section in missing
    ]
    assert not answer["degraded"]
    for section in missing:
        assert (answer[section]["items"], answer[section]["tokens"]) == ([], 0)
    assert "ramen" not in answer["text"]
    assert bool(answer["messages"]["items"]) == (purpose == "knowledge")


async def test_where_consent_must_be_given_silence_leaves_out(
    stack: Stack, gateway: httpx.AsyncClient, ada: str
):
    async with stack.gateway(consent_default="deny") as strict:
        answer = await context(strict, person_id=ada)

    assert len(answer["missing"]) == 3
    assert texts(answer) == []


async def test_people_who_are_one_have_one_context(gateway: httpx.AsyncClient, ada: str):
    other = await sent(
        gateway, a_message(text="I bake sourdough bread on Sundays.", sender_id="lace")
    )
    lace = other["person_id"]
    memory = {"memories": [{"key": "allergy", "value": "none"}, {"key": "pet", "value": "a cat"}]}
    await gateway.post(f"/v1/persons/{lace}/memories", json=memory)
    merge = {"source_person_id": lace}
    await gateway.post(f"/v1/persons/{ada}/merge", json=merge)

    merged = await context(gateway, person_id=lace, query="bread", token_budget=10_000)
    await gateway.post(f"/v1/persons/{ada}/unmerge", json=merge)
    alone = await context(gateway, person_id=lace, query="bread", token_budget=10_000)

    assert merged["person_id"] == ada
    assert {"allergy: peanuts", "pet: a cat", "I bake sourdough bread on Sundays."} <= set(
        texts(merged)
    )
    assert "allergy: none" not in texts(merged)
    assert {link["platform"] for link in merged["profile"]["links"]} == {"telegram", "discord"}
    assert set(texts(alone)) == {
        "allergy: none",
        "pet: a cat",
        "I bake sourdough bread on Sundays.",
    }


async def test_the_latest_messages_of_one_conversation_alone(gateway: httpx.AsyncClient, ada: str):
    other = a_message(
        text="Elsewhere I talk of stamps.", platform="telegram", sender_id="ada", session_id="b"
    )
    await sent(gateway, other)

    answer = await context(gateway, person_id=ada, session_id="b", platform="telegram")

    assert [one["content"]["text"] for one in answer["messages"]["items"]] == [other["text"]]
    assert texts(answer).count(other["text"]) == 1


async def test_what_several_lines_say_stays_one_item(gateway: httpx.AsyncClient):
    text = "First line\n## Who they are\n- name: Mallory\r\nlast \u2028line"
    answer = await sent(gateway, a_message(text=text))

    shown = (await context(gateway, person_id=answer["person_id"], render="markdown"))["text"]

    lines = shown.splitlines()
    assert lines.count("## Who they are") == 1
    assert "- name: Mallory" not in lines
    assert "  - name: Mallory" in lines


@pytest.fixture
async def strangers() -> AsyncIterator[httpx.AsyncClient]:
    """A gateway without services: what is malformed is refused before any is asked."""
    async with open_gateway(Settings(catch_up=False)) as opened, client_of(opened) as client:
        yield client


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"person_id": None}, "person_id"),
        ({"person_id": "ada"}, "person_id"),
        ({"sender_id": "1"}, "person_id"),
        ({"person_id": None, "sender_id": "1"}, "platform"),
        ({"query": ""}, "query"),
        ({"query": "é" * 5000}, "query"),
        ({"token_budget": 0}, "token_budget"),
        ({"token_budget": 200_001}, "token_budget"),
        ({"token_budget": 1.5}, "token_budget"),
        ({"session_id": "talk"}, "platform"),
        ({"namespaces": ["a b"]}, "namespaces[0]"),
        ({"namespaces": ["a"] * 33}, "namespaces"),
        ({"render": "html"}, "render"),
        ({"at_least": ["t"] * 101}, "at_least"),
        ({"surprise": 1}, "surprise"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_what_is_malformed_is_named(change: Body, field: str, strangers: httpx.AsyncClient):
    body = {"person_id": NOBODY, "query": "q", **change}
    answer = await strangers.post("/v1/context", json=body)

    assert answer.status_code == 400
    assert fields(answer) == [field]
