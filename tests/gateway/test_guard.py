"""Who may ask, and where the gateway may listen."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from gateway.app import open_gateway
from gateway.settings import Settings
from tests.support.messages import problem
from tests.support.stack import client_of

NOBODY = "127.0.0.1:1"
KEYS = {key: hashlib.sha256(key.encode()).hexdigest() for key in ("first-key", "second-key")}


@asynccontextmanager
async def a_gateway(
    url: str = "http://localhost", **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    chosen = Settings(
        identity_address=NOBODY, event_address=NOBODY, knowledge_address=NOBODY, catch_up=False,
        **settings,
    )  # fmt: skip
    async with open_gateway(chosen) as gateway, client_of(gateway, url) as client:
        yield client


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:80", "LOCALHOST"]
)
async def test_loopback_is_allowed_by_each_of_its_names(host: str):
    async with a_gateway() as client:
        answer = await client.get("/healthz", headers={"host": host})

        assert answer.status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "[::1", ""]
)
async def test_another_host_name_that_leads_to_loopback_is_refused(host: str):
    async with a_gateway() as client:
        answer = await client.get("/healthz", headers={"host": host})

        assert answer.status_code == 403
        assert problem(answer)["reason"] == "HOST_NOT_ALLOWED"


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8080"]
)
async def test_pages_of_this_machine_may_ask(origin: str):
    async with a_gateway() as client:
        answer = await client.get("/healthz", headers={"origin": origin})

        assert answer.status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example"]
)
async def test_pages_from_elsewhere_may_not(origin: str):
    async with a_gateway() as client:
        answer = await client.post("/v1/messages", headers={"origin": origin}, json={})

        assert answer.status_code == 403
        assert problem(answer)["reason"] == "ORIGIN_NOT_ALLOWED"


async def test_listed_hosts_and_origins_may():
    settings = {"allowed_hosts": "kith.example", "allowed_origins": "https://app.example"}
    async with a_gateway("http://kith.example:8080", **settings) as client:
        headers = {"origin": "https://app.example"}
        answer = await client.get("/healthz", headers=headers)
        asked = await client.options(
            "/v1/messages", headers={**headers, "access-control-request-method": "POST"}
        )

        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert asked.status_code == 200


async def test_a_page_of_a_listed_origin_may_read_why_it_is_refused():
    settings = {"allowed_origins": "https://app.example", "api_key_hashes": KEYS["first-key"]}
    async with a_gateway(**settings, request_bytes=1000) as client:
        client.headers["origin"] = "https://app.example"
        key = {"x-api-key": "first-key"}
        refused = [
            await client.get("/v1/status"),
            await client.get("/v1/status", headers={"host": "evil.example", **key}),
            await client.post("/v1/messages", headers=key, content=bytes(1001)),
            await client.post("/v1/messages", headers=key, json={}),
        ]

    assert [answer.status_code for answer in refused] == [401, 403, 413, 400]
    for answer in refused:
        assert problem(answer)["reason"]
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert len(answer.headers.get_list("x-request-id")) == 1


async def test_keys_are_needed_where_they_are_configured():
    async with a_gateway(api_key_hashes=",".join(KEYS.values())) as client:
        for headers in (
            {},
            {"x-api-key": "wrong"},
            {"authorization": "Bearer "},
            {"authorization": "Basic first-key"},
        ):
            answer = await client.get("/v1/status", headers=headers)

            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert problem(answer)["reason"] == "UNAUTHENTICATED"
        for key in KEYS:
            assert (await client.get("/v1/status", headers={"x-api-key": key})).status_code == 200
            bearer = {"authorization": f"bearer {key}"}
            assert (await client.get("/v1/status", headers=bearer)).status_code == 200


async def test_health_and_the_contract_need_no_key():
    async with a_gateway(api_key_hashes=KEYS["first-key"]) as client:
        paths = ("/healthz", "/readyz", "/docs", "/openapi.json", "/metrics", "/v1/status")

        statuses = {path: (await client.get(path)).status_code for path in paths}

        assert statuses == {
            "/healthz": 200, "/readyz": 503, "/docs": 200, "/openapi.json": 200,
            "/metrics": 401, "/v1/status": 401,
        }  # fmt: skip


async def test_beyond_loopback_any_host_may_be_named_unless_some_are_listed(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("KITH_GATEWAY_BIND", "0.0.0.0:8080")
    monkeypatch.setenv("KITH_API_KEY_HASHES", KEYS["first-key"])
    headers = {"origin": "https://any.example", "x-api-key": "first-key"}

    async with a_gateway("http://any.example") as client:
        unlisted = await client.get("/v1/status", headers=headers)
    async with a_gateway("http://any.example", allowed_hosts="kith.example") as client:
        listed = await client.get("/v1/status", headers=headers)
        probe = await client.get("/healthz")

    assert unlisted.status_code == 200
    assert listed.status_code == 403
    assert probe.status_code == 200


def test_listening_beyond_loopback_takes_keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KITH_GATEWAY_BIND", "0.0.0.0:8080")

    with pytest.raises(ValidationError, match="KITH_API_KEY_HASHES: is needed"):
        Settings()
    monkeypatch.setenv("KITH_API_KEY_HASHES", KEYS["first-key"])
    assert Settings().bind.port == 8080


def test_a_key_itself_is_not_taken_for_its_hash(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KITH_API_KEY_HASHES", "first-key")

    with pytest.raises(ValidationError, match="never the key itself"):
        Settings()
