"""The largest file goes in and out while the processes' memory stays as it was."""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.cluster import Database
from tests.support.dying import dying_service
from tests.support.knowledge import eventually

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]

SIZE = 50 << 20
BLOCK = os.urandom(1 << 20)
# What buffers on the way take, and never a file; two at once have no more.
MOST_GROWTH = 24 << 20
HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n\r\n'
TAIL = b"\r\n--x--\r\n"


class Memory:
    """The most memory of a process since it was last asked to begin."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._folder = Path(f"/proc/{process.pid}")

    def begin(self) -> None:
        (self._folder / "clear_refs").write_text("5")
        self._before = self._peak()

    def grown(self) -> int:
        """By how many bytes."""
        return self._peak() - self._before

    def _peak(self) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith("VmHWM")]
        return int(line.split()[1]) << 10


@asynccontextmanager
async def a_gateway(
    folder: Path, knowledge: str
) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.subprocess.Process]]:
    file = folder / "address.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway",
        env={
            **os.environ, "KITH_ADDRESS_FILE": str(file), "KITH_GATEWAY_BIND": "127.0.0.1:0",
            "KITH_KNOWLEDGE_ADDRESS": knowledge, "KITH_CATCH_UP": "false",
        },
    )  # fmt: skip
    try:

        async def announced() -> bool:
            return file.exists()

        await eventually(announced, seconds=30)
        url = "http://" + json.loads(await asyncio.to_thread(file.read_text))["address"]
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            yield client, process
    finally:
        process.kill()
        await process.wait()


async def form(size: int, first: bytes) -> AsyncIterator[bytes]:
    yield HEAD + first
    for _ in range(size // len(BLOCK) - 1):
        yield BLOCK
    yield BLOCK[: len(BLOCK) - len(first)]
    yield TAIL


async def upload(client: httpx.AsyncClient, first: bytes, size: int = SIZE) -> httpx.Response:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    return await client.post("/v1/documents", content=form(size, first), headers=headers)


async def test_the_largest_files_go_through_with_flat_memory(database: Database, tmp_path: Path):
    async with (
        dying_service(database) as knowledge,
        a_gateway(tmp_path, knowledge.address) as (client, gateway),
    ):
        await knowledge.channel.channel_ready()
        warm = (await upload(client, b"warm", size=2 << 20)).json()
        await client.get(f"/v1/documents/{warm['document_id']}/content")
        memories = [Memory(gateway), Memory(knowledge.process)]
        for memory in memories:
            memory.begin()

        answers = await asyncio.gather(upload(client, b"one"), upload(client, b"two"))

        assert [answer.status_code for answer in answers] == [201, 201]
        document = answers[0].json()
        assert document["size"] == SIZE
        checksum = hashlib.sha256()
        async with client.stream("GET", f"/v1/documents/{document['document_id']}/content") as got:
            async for block in got.aiter_bytes():
                checksum.update(block)
        assert checksum.hexdigest() == document["sha256"]
        grown = [memory.grown() for memory in memories]
        assert max(grown) < MOST_GROWTH, [f"{each >> 20} MiB" for each in grown]


async def test_one_byte_more_is_too_large(database: Database, tmp_path: Path):
    async with (
        dying_service(database) as knowledge,
        a_gateway(tmp_path, knowledge.address) as (client, _),
    ):
        await knowledge.channel.channel_ready()
        headers = {"content-type": "multipart/form-data; boundary=x"}

        async def larger() -> AsyncIterator[bytes]:
            async for block in form(SIZE, b"one"):
                yield b"!" + block if block == TAIL else block

        answer = await client.post("/v1/documents", content=larger(), headers=headers)

        assert (answer.status_code, answer.json()["reason"]) == (413, "DOCUMENT_TOO_LARGE")
        assert (await client.get("/v1/documents")).json()["documents"] == []
