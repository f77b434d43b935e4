"""What is too much, too large or too slow is answered at once, or in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import structlog

from gateway.app import open_gateway
from gateway.settings import Settings
from tests.support.messages import a_message, lines, problem
from tests.support.stack import client_of

NDJSON = {"content-type": "application/x-ndjson"}


class Silence(asyncio.Protocol):
    """Takes a connection and says nothing on it."""

    def __init__(self, connections: list[asyncio.BaseTransport]) -> None:
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.append(transport)


@asynccontextmanager
async def black_hole() -> AsyncIterator[str]:
    """The address of a server that takes connections and says nothing."""
    connections: list[asyncio.BaseTransport] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Silence(connections), "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for connection in connections:
            connection.close()


@asynccontextmanager
async def a_gateway(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway whose services do not answer."""
    async with (
        black_hole() as address,
        open_gateway(settings_of(address, **settings)) as gateway,
        client_of(gateway) as client,
    ):
        yield client


def settings_of(address: str, **settings: Any) -> Settings:
    """Of a gateway whose services are all at one address."""
    return Settings(
        identity_address=address, event_address=address, knowledge_address=address,
        catch_up=False, **settings,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "media_type", "begin"),
    [
        ("/v1/messages", b"application/json", b'{"platform'),
        ("/v1/documents", b"multipart/form-data; boundary=b", b"--b\r\nContent-Disp"),
    ],
)
async def test_a_client_that_goes_away_is_no_trouble_of_ours(
    path: str, media_type: bytes, begin: bytes
):
    received = iter(
        [{"type": "http.request", "body": begin, "more_body": True}, {"type": "http.disconnect"}]
    )
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": [(b"host", b"localhost"), (b"content-type", media_type)],
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message)

    async with black_hole() as address, open_gateway(settings_of(address)) as gateway:
        with structlog.testing.capture_logs() as logged:
            await gateway.app(scope, receive, send)

    assert sent[0]["status"] == 400
    assert [entry["log_level"] for entry in logged] == ["info"]


async def test_a_body_that_says_it_is_too_large_is_not_read():
    async with a_gateway(request_bytes=1000) as client:
        answer = await client.post("/v1/messages", json=a_message(text="x" * 1000))

        assert answer.status_code == 413
        assert problem(answer)["reason"] == "BODY_TOO_LARGE"


async def test_a_body_that_does_not_say_is_counted():
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1000

    async with a_gateway(request_bytes=10_000) as client:
        answer = await client.post(
            "/v1/messages", content=endless(), headers={"content-type": "application/json"}
        )

        assert answer.status_code == 413


async def test_batches_may_be_larger_than_single_requests():
    async with a_gateway(request_bytes=1000, batch_bytes=2000) as client:
        larger = await client.post("/v1/messages:batch", json=[{"text": "x" * 1000}])
        too_large = await client.post("/v1/messages:batch", json=[{"text": "x" * 2000}])

        assert (larger.status_code, too_large.status_code) == (400, 413)


async def test_a_request_that_takes_too_long_is_answered_in_time():
    async with a_gateway(request_seconds=0.2) as client:
        answer = await client.post("/v1/messages", json=a_message())

        assert answer.status_code == 504
        assert problem(answer)["reason"] == "DEADLINE_EXCEEDED"


async def test_a_service_that_takes_too_long_is_given_up_on():
    async with a_gateway(call_seconds=0.2) as client:
        answer = await client.post("/v1/messages", json=a_message())

        assert answer.status_code == 504


@pytest.mark.parametrize(
    ("path", "headers", "content"),
    [
        ("/v1/messages", {"content-type": "application/json"}, b"{}"),
        ("/v1/messages:batch", {"content-type": "application/json"}, b"[]"),
        ("/v1/messages:batch", NDJSON, b"{}"),
    ],
    ids=["single", "batch", "stream"],
)
async def test_what_is_too_much_is_refused_at_once_and_health_is_not(
    path: str, headers: dict[str, str], content: bytes
):
    bounds = {"most_requests": 2, "most_batches": 2, "most_streams": 2}
    slow = lines(a_message()) if headers is NDJSON else b""
    async with a_gateway(request_seconds=1, **bounds) as client:
        endless = [
            asyncio.create_task(client.post(path, content=slow or waiting(), headers=headers))
            for _ in range(2)
        ]
        await asyncio.sleep(0.1)

        answer = await client.post(path, content=content, headers=headers)
        healthy = await client.get("/healthz")
        firsts = await asyncio.gather(*endless)

        assert answer.status_code == 429
        assert problem(answer)["reason"] == "OVERLOADED"
        assert healthy.status_code == 200
        assert all(first.status_code != 429 for first in firsts)
        assert (await client.post(path, content=content, headers=headers)).status_code != 429


async def waiting() -> AsyncIterator[bytes]:
    """A body whose end does not come."""
    yield b" "
    await asyncio.Event().wait()
