"""What the gateway tells about itself: health, status, metrics, ids in logs and calls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import pytest
import structlog

from gateway.app import open_gateway
from gateway.settings import Settings
from kith.identity.v1 import identity_service_pb2
from tests.support.messages import a_message, eventually, problem, sent
from tests.support.stack import client_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


async def test_health_names_the_backends_in_use(gateway: httpx.AsyncClient):
    answer = await gateway.get("/healthz")

    assert answer.status_code == 200
    assert next(iter(answer.json())) == "storage_backend"
    assert answer.json() == {
        "storage_backend": "postgres", "blob_store": "local", "vector_backend": "pgvector",
        "embedder": "wordllama", "status": "ok",
    }  # fmt: skip


def test_the_storage_backend_is_the_one_that_the_services_choose(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SUPABASE_URL", "https://project.supabase.co")
    assert Settings().backends["storage_backend"] == "supabase"

    monkeypatch.setenv("KITH_STORE", "postgres")
    assert Settings().backends["storage_backend"] == "postgres"


def test_the_backends_of_knowledge_are_those_that_the_service_chooses(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("PINECONE_API_KEY", "set")
    monkeypatch.setenv("VOYAGE_API_KEY", "set")
    assert Settings().backends["vector_backend"] == "pinecone"
    assert Settings().backends["embedder"] == "voyage"

    monkeypatch.setenv("KITH_VECTORS", "pgvector")
    monkeypatch.setenv("KITH_EMBEDDER", "wordllama")
    assert Settings().backends["vector_backend"] == "pgvector"
    assert Settings().backends["embedder"] == "wordllama"


async def test_status_tells_the_health_of_each_service(gateway: httpx.AsyncClient):
    async def is_ok() -> bool:
        answer = await gateway.get("/v1/status")
        return bool(answer.json()["status"] == "ok")

    await eventually(is_ok)

    services = (await gateway.get("/v1/status")).json()["services"]
    assert services == dict.fromkeys(("identity", "event", "knowledge"), "serving")


async def test_metrics_count_requests_by_route_and_status(gateway: httpx.AsyncClient):
    await sent(gateway, a_message())
    await gateway.get("/v1/persons/not-a-uuid")

    metrics = (await gateway.get("/metrics")).text

    assert 'kith_http_seconds_count{method="POST",route="/v1/messages",status="201"}' in metrics
    assert (
        'kith_http_seconds_count{method="GET",route="/v1/persons/{person_id}",status="400"}'
        in metrics
    )
    assert "not-a-uuid" not in metrics


async def test_every_request_leaves_a_line_with_its_trace(gateway: httpx.AsyncClient):
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as entries:
        await gateway.get("/v1/persons/not-a-uuid", headers={"traceparent": PARENT})

    [line] = [entry for entry in entries if entry["event"] == "http"]
    assert line["trace_id"] == TRACE
    assert (line["method"], line["status"]) == ("GET", 400)
    assert line["route"] == "/v1/persons/{person_id}"
    assert line["ms"] > 0


async def test_a_problem_has_the_trace_of_its_request(gateway: httpx.AsyncClient):
    known = await gateway.get("/nothing", headers={"traceparent": PARENT})
    malformed = await gateway.get("/nothing", headers={"traceparent": "00-xyz"})

    assert problem(known)["trace_id"] == TRACE
    assert problem(malformed)["trace_id"] != TRACE


async def test_a_request_id_is_taken_over_or_made(gateway: httpx.AsyncClient):
    given = await gateway.get("/healthz", headers={"x-request-id": "r-1"})
    made = await gateway.get("/healthz")
    refused = await gateway.get("/healthz", headers={"x-request-id": "spaces are not fine"})

    assert given.headers["x-request-id"] == "r-1"
    assert len(made.headers["x-request-id"]) == len(refused.headers["x-request-id"]) == 36


class Recorder(grpc.GenericRpcHandler):
    """A service that notes what comes with each call, and answers with an empty message."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def service(self, details: Any) -> Any:
        async def answer(_: bytes, context: Any) -> bytes:
            metadata = dict(context.invocation_metadata())
            metadata["seconds"] = context.time_remaining()
            self.calls.append((details.method.rpartition("/")[2], metadata))
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@asynccontextmanager
async def recording() -> AsyncIterator[tuple[Recorder, str]]:
    recorder = Recorder()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((recorder,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield recorder, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_calls_carry_credential_trace_request_id_and_deadline():
    async with recording() as (recorder, address):
        settings = Settings(
            identity_address=address, event_address=address, knowledge_address=address,
            catch_up=False, service_token="token-of-the-services", call_seconds=3,
        )  # fmt: skip
        headers = {"traceparent": PARENT, "x-request-id": "r-1"}
        async with open_gateway(settings) as gateway, client_of(gateway) as client:
            await client.get("/v1/persons/0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f30", headers=headers)
            await client.get("/v1/resolve?platform=x&platform_id=1", headers=headers)

    assert [name for name, _ in recorder.calls] == ["GetPerson", "BatchResolveIdentities"]
    for _, metadata in recorder.calls:
        assert metadata["authorization"] == "Bearer token-of-the-services"
        version, trace_id, span, flags = metadata["traceparent"].split("-")
        assert (version, trace_id, flags) == ("00", TRACE, "01")
        assert len(span) == 16 and span != PARENT.split("-")[2]
        assert metadata["x-request-id"] == "r-1"
        assert 2 < metadata["seconds"] < 3.5


async def test_an_answer_that_cannot_be_is_an_internal_error():
    async with recording() as (_, address):
        settings = Settings(
            identity_address=address, event_address=address, knowledge_address=address,
            catch_up=False,
        )  # fmt: skip
        async with open_gateway(settings) as gateway, client_of(gateway) as client:
            answer = await client.post("/v1/messages", json=a_message())

    assert answer.status_code == 500
    assert problem(answer)["reason"] == "INTERNAL"
    assert problem(answer)["detail"] == "internal error"
    assert identity_service_pb2.DESCRIPTOR.package not in answer.text
