"""POST /v1/messages:batch with NDJSON: streamed both ways, a result line for each line."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from gateway.routes.lines import LINE_BYTES, LineSplitter
from tests.support.messages import a_message, a_reply, lines, texts
from tests.support.stack import Stack

NDJSON = {"content-type": "application/x-ndjson"}


async def stream(client: httpx.AsyncClient, content: Any, **headers: str) -> list[Any]:
    answer = await client.post("/v1/messages:batch", content=content, headers={**NDJSON, **headers})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [orjson.loads(line) for line in answer.content.splitlines()]


def test_lines_are_found_wherever_the_chunks_end():
    text = b'{"a": 1}\r\n\n{"b": 2}\n{"c": 3}'
    for size in range(1, len(text) + 1):
        splitter = LineSplitter()

        found = [
            line
            for start in range(0, len(text), size)
            for line in splitter.feed(text[start : start + size])
        ]
        found += splitter.end()

        assert found == [b'{"a": 1}\r', b"", b'{"b": 2}', b'{"c": 3}']


def test_a_line_that_is_too_long_costs_no_memory_and_not_its_neighbours():
    splitter = LineSplitter(most_bytes=10)

    found = splitter.feed(b"short\n" + b"x" * 11)
    for _ in range(1000):
        found += splitter.feed(b"x" * 1000)
    found += splitter.feed(b"\nshort again\nfits 10 ok")
    found += splitter.end()

    assert found == [b"short", None, None, b"fits 10 ok"]
    assert splitter.end() == []


async def test_each_line_has_its_result_in_order(gateway: httpx.AsyncClient):
    bodies = [a_message(text=f"Line {n} of the story") for n in range(1200)]

    results = await stream(gateway, lines(*bodies))

    assert len(results) == 1200
    positions = [result["position"] for result in results]
    assert positions == sorted(positions)
    assert await texts(gateway, results[0]["person_id"]) == [body["text"] for body in bodies]


async def test_what_is_wrong_with_a_line_is_said_in_its_place(gateway: httpx.AsyncClient):
    content = lines(
        a_message(),
        b"{",
        b"",
        {"platform": "discord"},
        a_reply(to_sender_id="nobody"),
        b'{"metadata": {"a": NaN}}',
        b'{"text": "' + b"x" * LINE_BYTES + b'"}',
        b"\xff\xfe",
        b"[]",
    )
    last = orjson.dumps(a_message())

    results = await stream(gateway, content + last)

    statuses = [result.get("error", {}).get("status") for result in results]
    assert statuses == [None, 400, 400, 400, 404, 400, 400, 400, 400, None]
    fields = [
        [e["field"] for e in result["error"]["errors"]]
        for result in results
        if "errors" in result.get("error", {})
    ]
    assert fields == [
        ["body"], ["body"], ["sender_id", "text"], ["metadata.a"], ["body"], ["body"], ["body"]
    ]  # fmt: skip


async def test_a_repeated_stream_is_answered_as_the_first_was(gateway: httpx.AsyncClient):
    content = lines(*(a_message(message_id=None) for _ in range(3)))

    first = await stream(gateway, content, **{"idempotency-key": "k"})
    second = await stream(gateway, content, **{"idempotency-key": "k"})

    assert second == [{**result, "duplicate": True} for result in first]


async def test_nothing_in_is_nothing_out(gateway: httpx.AsyncClient):
    assert await stream(gateway, b"") == []


async def test_results_come_while_lines_are_still_sent(stack: Stack):
    async with stack.listening() as url, an_exchange(url) as (reader, writer):
        for _ in range(3):
            await write_chunk(writer, lines(a_message()))

            result = orjson.loads(await asyncio.wait_for(read_chunk(reader), 10))

            assert result["knowledge"]["state"] == "stored"


async def test_lines_that_nobody_reads_the_results_of_are_not_taken(stack: Stack):
    async with stack.listening() as url, an_exchange(url, receive_buffer=4096) as (_, writer):
        piece = lines(*[b"?" * 20] * 2000)

        with pytest.raises(TimeoutError):
            for _ in range(1000):
                await asyncio.wait_for(write_chunk(writer, piece), 2)


@asynccontextmanager
async def an_exchange(
    url: str, receive_buffer: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """An exchange of lines whose request goes on; the head of the answer is read."""
    address = urlsplit(url)
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (address.hostname, address.port))
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        writer.write(
            b"POST /v1/messages:batch HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert b"200 OK" in head
        yield reader, writer
    finally:
        writer.transport.abort()


async def write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readline(), 16)
    data = await reader.readexactly(size)
    await reader.readexactly(2)
    return data
