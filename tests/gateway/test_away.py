"""Services that are away: a clear answer, and recovery without a restart."""

import asyncio
from typing import Any

import httpx
import pytest

from gateway.app import open_gateway
from gateway.settings import Settings
from tests.support.messages import a_message, eventually, lines, problem, sent
from tests.support.stack import Stack, client_of

PERSON = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f30"


@pytest.mark.parametrize("name", ["identity", "event"])
async def test_a_message_is_refused_and_taken_again(
    stack: Stack, gateway: httpx.AsyncClient, name: str
):
    await sent(gateway, a_message())
    body = a_message()

    await stack.stop(name)
    refused = await gateway.post("/v1/messages", json=body)
    await stack.start(name)

    assert refused.status_code == 503
    assert problem(refused)["reason"] == "SERVICE_UNAVAILABLE"
    assert problem(refused)["service"] == name

    async def taken() -> bool:
        return (await gateway.post("/v1/messages", json=body)).is_success

    await eventually(taken)


async def test_nothing_about_the_network_is_told(stack: Stack, gateway: httpx.AsyncClient):
    await stack.stop()

    answer = await gateway.post("/v1/messages", json=a_message())

    assert problem(answer)["detail"] == "the identity service cannot be reached"
    assert "127.0.0.1" not in answer.text


LINK = {"platform": "x", "platform_id": "1"}
EVENT = {"event_type": "a", "platform": "x"}
ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/v1/register", LINK),
    ("GET", "/v1/resolve?platform=x&platform_id=1", None),
    ("POST", "/v1/persons", {}),
    ("GET", "/v1/persons", None),
    ("GET", f"/v1/persons/{PERSON}", None),
    ("PATCH", f"/v1/persons/{PERSON}", {"metadata": {}}),
    ("GET", f"/v1/persons/{PERSON}/links", None),
    ("POST", f"/v1/persons/{PERSON}/links", LINK),
    ("DELETE", f"/v1/persons/{PERSON}/links/{PERSON}", None),
    ("POST", f"/v1/persons/{PERSON}/links/verifications", LINK),
    ("POST", f"/v1/links/verifications/{PERSON}/confirm", {"code": "c"}),
    ("POST", f"/v1/persons/{PERSON}/merge", {"source_person_id": PERSON}),
    ("POST", f"/v1/persons/{PERSON}/unmerge", {"source_person_id": PERSON}),
    ("DELETE", f"/v1/persons/{PERSON}", None),
    ("GET", f"/v1/persons/{PERSON}/export", None),
    ("GET", "/v1/erasures", None),
    ("GET", f"/v1/erasures/{PERSON}", None),
    ("GET", f"/v1/persons/{PERSON}/consent", None),
    ("PATCH", f"/v1/persons/{PERSON}/consent", {"purposes": {"a": "granted"}}),
    ("GET", f"/v1/persons/{PERSON}/consent/history", None),
    ("POST", "/v1/groups", {"kind": "x"}),
    ("GET", "/v1/groups", None),
    ("GET", f"/v1/groups/{PERSON}", None),
    ("PATCH", f"/v1/groups/{PERSON}", {"name": "n"}),
    ("GET", f"/v1/groups/{PERSON}/members", None),
    ("PUT", f"/v1/groups/{PERSON}/members/{PERSON}", None),
    ("DELETE", f"/v1/groups/{PERSON}/members/{PERSON}", None),
    ("GET", f"/v1/persons/{PERSON}/groups", None),
    ("POST", "/v1/sessions", {}),
    ("GET", f"/v1/sessions/{PERSON}", None),
    ("PATCH", f"/v1/sessions/{PERSON}", {"data": {}}),
    ("POST", f"/v1/sessions/{PERSON}/claim", {"person_id": PERSON}),
    ("POST", "/v1/events", EVENT),
    ("POST", "/v1/events", {**EVENT, "platform_id": "1"}),
    ("POST", "/v1/events:batch", [EVENT]),
    ("GET", "/v1/events", None),
    ("GET", "/v1/events?after=0&wait=5", None),
    ("GET", f"/v1/events/{PERSON}", None),
    ("GET", "/v1/events/stats", None),
    ("GET", f"/v1/events/search?query=q&group_id={PERSON}", None),
    ("GET", "/v1/events/stream", None),
    ("POST", "/v1/events:redact", {"event_ids": [PERSON], "reason": "r"}),
    ("PUT", f"/v1/messages/{PERSON}", {"text": "t"}),
    ("DELETE", f"/v1/messages/{PERSON}", None),
    ("POST", "/v1/projections", {"name": "m", "event_types": ["a"], "value_path": ["n"]}),
    ("GET", "/v1/projections", None),
    ("GET", "/v1/projections/m", None),
    ("DELETE", "/v1/projections/m", None),
    ("GET", f"/v1/persons/{PERSON}/projections/m", None),
    ("GET", f"/v1/persons/{PERSON}/timeline", None),
    ("GET", f"/v1/persons/{PERSON}/timeline/stream", None),
    ("POST", "/v1/search", {"query": "keys"}),
    ("POST", "/v1/context", {"query": "keys", "person_id": PERSON}),
    ("POST", "/v1/context", {"query": "keys", "platform": "x", "sender_id": "1"}),
    ("GET", f"/v1/persons/{PERSON}/memories", None),
    ("POST", f"/v1/persons/{PERSON}/memories", {"memories": [{"key": "k", "value": "v"}]}),
    ("POST", f"/v1/persons/{PERSON}/memories/search", {"query": "keys"}),
    ("GET", f"/v1/persons/{PERSON}/memories/k", None),
    ("PUT", f"/v1/persons/{PERSON}/memories/k", {"value": "v"}),
    ("DELETE", f"/v1/persons/{PERSON}/memories/k", None),
    ("GET", f"/v1/persons/{PERSON}/memories/k/versions", None),
]


async def test_every_route_says_so():
    nobody = "127.0.0.1:1"
    settings = Settings(
        identity_address=nobody, event_address=nobody, knowledge_address=nobody, catch_up=False
    )
    async with open_gateway(settings) as opened, client_of(opened) as client:
        answers = await asyncio.gather(
            *(client.request(method, path, json=body) for method, path, body in ROUTES)
        )

    for route, answer in zip(ROUTES, answers, strict=True):
        assert answer.status_code == 503, (route, answer.text)
        assert problem(answer)["reason"] == "SERVICE_UNAVAILABLE"


async def test_a_batch_says_so_for_each_message(stack: Stack, gateway: httpx.AsyncClient):
    await stack.stop("event")
    batch = [a_message(), a_message()]

    answer = await gateway.post("/v1/messages:batch", json=batch)
    streamed = await gateway.post(
        "/v1/messages:batch",
        content=lines(*batch),
        headers={"content-type": "application/x-ndjson"},
    )

    errors = [result["error"] for result in answer.json()["results"]]
    errors += [
        httpx.Response(200, text=line).json()["error"] for line in streamed.text.splitlines()
    ]
    assert [(error["status"], error["reason"]) for error in errors] == [
        (503, "SERVICE_UNAVAILABLE")
    ] * 4
    assert all(error["retry_after"] >= 1 for error in errors)


async def test_readiness_follows_what_is_needed(stack: Stack, gateway: httpx.AsyncClient):
    async def readiness() -> int:
        return (await gateway.get("/readyz")).status_code

    async def is_ready() -> bool:
        return await readiness() == 200

    await eventually(is_ready)

    await stack.stop("knowledge")
    without_knowledge = await gateway.get("/readyz")
    status = await gateway.get("/v1/status")
    await stack.stop("event")
    without_events = await gateway.get("/readyz")

    assert without_knowledge.status_code == 200
    assert without_knowledge.json()["services"]["knowledge"] == "not_serving"
    assert status.json()["status"] == "degraded"
    assert without_events.status_code == 503


async def test_at_the_start_all_services_are_waited_for(stack: Stack):
    await stack.stop("knowledge")

    async with stack.gateway() as client:
        early = await client.get("/readyz")
        await stack.start("knowledge")

        async def is_ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await eventually(is_ready)
        assert early.status_code == 503
        assert early.json()["status"] == "not_ready"
