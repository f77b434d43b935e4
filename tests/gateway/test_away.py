"""Services that are away: a clear answer, and recovery without a restart."""

import httpx
import pytest

from tests.support.messages import a_message, eventually, lines, problem, sent
from tests.support.stack import Stack

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


async def test_every_route_says_so(stack: Stack, gateway: httpx.AsyncClient):
    await stack.stop()
    link = {"platform": "x", "platform_id": "1"}

    answers = [
        await gateway.post("/v1/register", json=link),
        await gateway.get("/v1/resolve", params=link),
        await gateway.get(f"/v1/persons/{PERSON}"),
        await gateway.patch(f"/v1/persons/{PERSON}", json={"metadata": {}}),
        await gateway.get(f"/v1/persons/{PERSON}/links"),
        await gateway.post(f"/v1/persons/{PERSON}/links", json=link),
        await gateway.get(f"/v1/persons/{PERSON}/timeline"),
        await gateway.post("/v1/search", json={"query": "keys"}),
    ]

    assert [answer.status_code for answer in answers] == [503] * len(answers)
    for answer in answers:
        problem(answer)


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
