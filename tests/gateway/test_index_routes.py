"""/v1/index: what can be done to the index, and what is refused."""

import httpx
import pytest

from svckit import ids
from tests.support.cluster import Database
from tests.support.knowledge import as_administrator, eventually

OLD = "wordllama_l2_supercat_256_whole_1"


@pytest.fixture(autouse=True)
async def serving_space(gateway: httpx.AsyncClient) -> None:
    """A space serves once the service is ready, which is later than that it listens."""

    async def is_ready() -> bool:
        return (await gateway.get("/readyz")).status_code == 200

    await eventually(is_ready)


async def test_what_cannot_be_done_says_why(gateway: httpx.AsyncClient):
    refused = [
        await gateway.post("/v1/index/reindex", json={}),
        await gateway.post("/v1/index/cut-over", json={"space": "nothing"}),
        await gateway.post("/v1/index/roll-back"),
        await gateway.delete(f"/v1/index/spaces/{OLD}"),
        await gateway.post("/v1/index/cut-over", json={"space": "no name"}),
    ]

    assert [(one.status_code, one.json()["reason"]) for one in refused] == [
        (409, "NOTHING_TO_REINDEX"),
        (404, "SPACE_NOT_FOUND"),
        (409, "SPACE_NOT_READY"),
        (409, "SPACE_NOT_READY"),
        (400, "INVALID_ARGUMENT"),
    ]


async def test_a_space_that_serves_serves(gateway: httpx.AsyncClient):
    answer = await gateway.post("/v1/index/cut-over", json={"space": OLD})

    assert answer.status_code == 200
    body = answer.json()
    assert (body["space"], body["state"], body["dimension"]) == (OLD, "serving", 256)


async def test_what_was_given_up_is_listed_and_tried_again(
    gateway: httpx.AsyncClient, database: Database
):
    stored = [
        (await gateway.post("/v1/knowledge", json={"content": text, "namespace": text})).json()
        for text in ("boiler", "attic")
    ]
    await gateway.post(
        "/v1/search", json={"query": "x", "at_least": [one["index_token"] for one in stored]}
    )
    async with as_administrator(database) as admin:
        await admin.execute(
            "UPDATE knowledge.index_states SET state = 'failed', attempts = 5, failed_at = now(), "
            "last_error = 'ValueError: too odd'"
        )

    path = "/v1/index/dead-letters"
    first = (await gateway.get(path, params={"page_size": 1})).json()
    more = {"page_size": 1, "page_token": first["next_page_token"]}
    last = (await gateway.get(path, params=more)).json()
    attic = (await gateway.get(path, params={"namespace": "attic"})).json()
    one = await gateway.post(f"{path}/replay", json={"knowledge_ids": [stored[1]["knowledge_id"]]})
    rest = await gateway.post(f"{path}/replay", json={"all": True})
    wrong = [
        await gateway.post(f"{path}/replay", json=body)
        for body in ({}, {"all": True, "knowledge_ids": [ids.new()]}, {"knowledge_ids": ["x"]})
    ]

    letters = [*first["dead_letters"], *last["dead_letters"]]
    assert {one["knowledge_id"] for one in letters} == {one["knowledge_id"] for one in stored}
    assert {(one["error"], one["attempts"], one["space"]) for one in letters} == {
        ("ValueError: too odd", 5, OLD)
    }
    assert (first["total"], last["next_page_token"], attic["total"]) == (2, None, 1)
    assert (one.json(), rest.json()) == ({"replayed": 1}, {"replayed": 1})
    assert [answer.status_code for answer in wrong] == [400] * 3
