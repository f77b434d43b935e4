"""/v1/index: what can be done to the index, and what is refused."""

import httpx
import pytest

from tests.support.knowledge import eventually

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
