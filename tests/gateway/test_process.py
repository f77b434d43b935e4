"""The gateway as a process of its own: it starts alone, and ends as it should."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.messages import eventually

pytestmark = pytest.mark.system


@asynccontextmanager
async def a_process(folder: Path, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway",
        env={
            **os.environ, "KITH_ADDRESS_FILE": str(folder / "address.json"),
            "KITH_GATEWAY_BIND": "127.0.0.1:0", **environment,
        },
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def url_of(folder: Path) -> str:
    file = folder / "address.json"

    async def announced() -> bool:
        return file.exists()

    await eventually(announced, seconds=30)
    return "http://" + json.loads(file.read_text())["address"]


async def test_it_starts_without_its_services_and_ends_with_0(tmp_path: Path):
    async with a_process(tmp_path) as process:
        url = await url_of(tmp_path)
        async with httpx.AsyncClient(base_url=url) as client:
            healthy = await client.get("/healthz")
            ready = await client.get("/readyz")
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 20)

    assert (healthy.status_code, ready.status_code) == (200, 503)
    assert process.returncode == 0
    events = [json.loads(line)["event"] for line in output.decode().splitlines()]
    assert events[0] == "listening" and events[-1] == "stopped"


async def test_a_request_in_flight_is_finished(tmp_path: Path):
    silent = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    address = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    waits = {
        "KITH_IDENTITY_ADDRESS": address,
        "KITH_REQUEST_SECONDS": "1",
        "KITH_CATCH_UP": "false",
    }
    async with a_process(tmp_path, **waits) as process:
        async with httpx.AsyncClient(base_url=await url_of(tmp_path)) as client:
            request = asyncio.create_task(client.get("/v1/resolve?platform=x&platform_id=1"))
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            answer = await request
        await asyncio.wait_for(process.communicate(), 20)
    silent.close()

    assert answer.status_code == 504
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KITH_GATEWAY_BIND", "0.0.0.0:0"),
        ("KITH_GATEWAY_BIND", "nonsense"),
        ("KITH_CONSENT_DEFAULT", "perhaps"),
        ("KITH_REQUEST_SECONDS", "0"),
        ("KITH_API_KEY_HASHES", "abc"),
    ],
)
async def test_a_mistake_in_the_configuration_is_one_clear_line(
    tmp_path: Path, variable: str, value: str
):
    async with a_process(tmp_path, **{variable: value}) as process:
        output, _ = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 2
    [line] = output.decode().splitlines()
    assert line.startswith("kith gateway: KITH_")


async def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path):
    taken = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    address = f"127.0.0.1:{taken.sockets[0].getsockname()[1]}"
    async with a_process(tmp_path, KITH_GATEWAY_BIND=address) as process:
        output, _ = await asyncio.wait_for(process.communicate(), 20)
    taken.close()

    assert process.returncode == 2
    [line] = output.decode().splitlines()
    assert address in line
