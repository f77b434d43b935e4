"""A gateway that is killed in the middle of an erasure: another one goes on with it."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import httpx
import pytest

from kithctl.files import read_if_there
from tests.support.messages import a_message, eventually, sent
from tests.support.stack import Stack

pytestmark = pytest.mark.system


@pytest.mark.parametrize(("away", "steps"), [("knowledge", []), ("event", ["knowledge"])])
async def test_another_gateway_goes_on_with_it(
    stack: Stack, gateway: httpx.AsyncClient, tmp_path: Path, away: str, steps: list[str]
):
    person = (await sent(gateway, a_message()))["person_id"]
    await stack.stop(away)
    file = tmp_path / "address.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway",
        env={
            **os.environ, "KITH_ADDRESS_FILE": str(file), "KITH_GATEWAY_BIND": "127.0.0.1:0",
            **{f"KITH_{name.upper()}_ADDRESS": stack.target(name)
               for name in ("identity", "event", "knowledge")},
        },
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        url = await eventually(lambda: announced(file), seconds=30)
        async with httpx.AsyncClient(base_url=url) as client:
            request = asyncio.create_task(client.delete(f"/v1/persons/{person}"))

            async def as_far() -> bool:
                [*found] = (await gateway.get("/v1/erasures")).json()["erasures"]
                return bool(found) and [s["stage"] for s in found[0]["steps"]] == steps

            await eventually(as_far)
            process.send_signal(signal.SIGKILL)
            await asyncio.gather(request, return_exceptions=True)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    await stack.start(away)

    # The lease of the one that died runs out, if it came to hold one.
    async with stack.gateway(catch_up=True, catch_up_lease_seconds=1) as client:

        async def receipt() -> dict[str, object] | None:
            [erasure] = (await client.get("/v1/erasures")).json()["erasures"]
            return erasure if erasure["state"] == "succeeded" else None

        done = await eventually(receipt, seconds=30)
    assert not any(done["remaining"].values())
    assert done["erased"]["items"] == 1


async def announced(file: Path) -> str:
    text = read_if_there(file)
    return f"http://{json.loads(text)['address']}" if text else ""
