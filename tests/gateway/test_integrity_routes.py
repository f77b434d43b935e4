"""/v1/integrity: walks as JSON lines, and a look at one thing."""

from typing import Any

import httpx
import orjson
import pytest

from tests.support.knowledge import as_administrator
from tests.support.messages import a_message, fields, problem, sent
from tests.support.stack import Stack


async def lines(client: httpx.AsyncClient, path: str, **body: Any) -> list[dict[str, Any]]:
    answer = await client.post(f"/v1/integrity/{path}", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [orjson.loads(line) for line in answer.text.splitlines()]


async def a_failed_item(gateway: httpx.AsyncClient, database: Any) -> str:
    stored = await sent(gateway, a_message(text="My cat Turing sleeps on the radiator."))
    found = await gateway.post(
        "/v1/search", json={"query": "cat", "at_least": stored["knowledge"]["index_token"]}
    )
    assert found.json()["pending"] == []
    async with as_administrator(database) as admin:
        await admin.execute("UPDATE knowledge.index_states SET state = 'failed', attempts = 5")
    return str(stored["knowledge"]["knowledge_id"])


async def test_what_does_not_fit_is_told_line_by_line_and_mended(
    gateway: httpx.AsyncClient, database: Any
):
    failed = await a_failed_item(gateway, database)

    verified = await lines(gateway, "verify", namespaces=["messages"])
    planned = await lines(gateway, "repair", kinds=["FAILED"], dry_run=True)
    repaired = await lines(gateway, "repair", kinds=["FAILED"])

    [finding] = [line["finding"] for line in verified if "finding" in line]
    assert (finding["kind"], finding["knowledge_id"]) == ("FAILED", failed)
    assert verified[0] == {"progress": {"stage": "items", "looked_at": 1, "estimated_total": 0}}
    assert verified[-1]["summary"]["findings"] == {"FAILED": 1}
    for walk in (planned, repaired):
        assert [line["repair"]["action"] for line in walk if "repair" in line] == ["REQUEUED"]
        assert walk[-1]["summary"]["actions"] == {"REQUEUED": 1}


async def test_the_stores_are_shown_side_by_side(gateway: httpx.AsyncClient, database: Any):
    failed = await a_failed_item(gateway, database)

    answer = await gateway.get(f"/v1/integrity/ground-truth/{failed}")

    truth = answer.json()
    assert answer.status_code == 200
    assert truth["item"]["content"] == "My cat Turing sleeps on the radiator."
    assert [one["exists"] for one in truth["vectors"]] == [True]
    assert truth["vectors"][0]["fields"]["namespace"] == "messages"
    assert [one["kind"] for one in truth["findings"]] == ["FAILED"]


async def test_what_nobody_holds_is_not_found(gateway: httpx.AsyncClient):
    answer = await gateway.get("/v1/integrity/ground-truth/0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f30")

    assert (answer.status_code, problem(answer)["reason"]) == (404, "KNOWLEDGE_NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("verify", {"grace_seconds": 0}, "grace_seconds"),
        ("verify", {"namespaces": ["no spaces"]}, "namespaces[0]"),
        ("verify", {"kinds": ["FAILED"]}, "kinds"),
        ("repair", {"kinds": ["NOTHING"]}, "kinds[0]"),
        ("repair", {"dry_run": "yes"}, "dry_run"),
    ],
)
async def test_what_is_wrong_is_named(
    gateway: httpx.AsyncClient, path: str, body: dict[str, Any], field: str
):
    answer = await gateway.post(f"/v1/integrity/{path}", json=body)

    assert answer.status_code == 400
    assert fields(answer) == [field]


async def test_a_service_that_is_away_is_an_answer_like_any_other(
    stack: Stack, gateway: httpx.AsyncClient
):
    await stack.stop("knowledge")

    answer = await gateway.post("/v1/integrity/verify", json={})

    assert (answer.status_code, problem(answer)["reason"]) == (503, "SERVICE_UNAVAILABLE")
