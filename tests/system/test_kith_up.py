"""`kith up`: the real processes, killed, refused, and ended.

Each test runs with processes that stand in for the services, and with the services themselves.
"""

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from kithctl.service import SERVICES
from svckit.addresses import Bind
from svckit.healthcheck import serves_grpc
from tests.kithctl.waiting import eventually, is_alive

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

STAND_INS = ("-m", "tests.kithctl.up_with_stand_ins", "{home}")
KITH = ("-m", "kithctl", "up", "--home", "{home}", "--ports", "0")
PROCESSES = ("identity", "event", "knowledge", "gateway", "postgres")
START = 90.0

# The environment of whoever runs the tests chooses no backend here.
OURS = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("KITH_", "SUPABASE_", "PINECONE_", "VOYAGE_"))
}


class Up:
    """A running `kith up`."""

    def __init__(self, process: asyncio.subprocess.Process, home: Path, log: Path) -> None:
        self.process = process
        self.home = home
        self._log = log

    @property
    def published(self) -> dict[str, Any]:
        """What addresses.json says; empty where there is none."""
        try:
            running: dict[str, Any] = json.loads((self.home / "addresses.json").read_text())
        except FileNotFoundError:
            return {}
        return running

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def pid(self, name: str) -> int:
        return int(self.published["processes"][name]["pid"])

    def address(self, name: str) -> Bind:
        return Bind.parse(self.published["processes"][name]["address"])

    @property
    def pids(self) -> list[int]:
        return [self.pid(name) for name in PROCESSES]

    async def is_up(self) -> "Up":
        await eventually(lambda: bool(self.published) or self.process.returncode is not None, START)
        assert self.process.returncode is None, self.said
        return self

    async def has_restarted(self, name: str, killed: int) -> None:
        await eventually(lambda: self.pid(name) != killed, START)

    async def answers_everywhere(self) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://{self.address('gateway')}/readyz")
        assert answer.status_code == 200
        for service in SERVICES:
            assert await serves_grpc(self.address(service.name))

    async def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 60)


Start = Callable[..., Awaitable[Up]]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kith-up-") as name:
        yield Path(name)


@pytest.fixture(params=[STAND_INS, KITH], ids=["stand-ins", "kith"])
def command(request: pytest.FixtureRequest) -> Sequence[str]:
    """What starts everything."""
    packages = ("identity_svc", "event_svc", "knowledge_svc", "gateway")
    if request.param is KITH:
        for package in packages:
            if importlib.util.find_spec(f"{package}.__main__") is None:
                pytest.skip(f"{package} cannot be run yet")
    chosen: Sequence[str] = request.param
    return chosen


@pytest.fixture
async def start(folder: Path, command: Sequence[str]) -> AsyncIterator[Start]:
    """Starts everything in the test's home; what still runs at the end is killed."""
    started: list[Up] = []

    async def start(*more: str, home: Path | None = None, **environment: str) -> Up:
        home = home or folder / "home"
        log = folder / f"log-{len(started)}"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(part.format(home=home) for part in command),
                *more,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**OURS, "PYTHONWARNINGS": "", **environment},
            )
        up = Up(process, home, log)
        started.append(up)
        return up

    yield start
    for up in started:
        with suppress(ProcessLookupError):
            up.process.kill()
        await up.process.wait()


def rests(home: Path) -> list[str]:
    """What is in a home beside the data, and in the lock."""
    found = [str(path.relative_to(home)) for path in home.glob("*") if path.name != "blobs"]
    found += [str(path.relative_to(home)) for path in home.glob("postgres/*")]
    # Grants that another stack, of another test, needs just now are left: see test_access.py.
    expected = {"lock", "postgres", "postgres/data", "postgres/lock", "postgres/grants.json"}
    lock = (home / "lock").read_text()
    return [*(name for name in found if name not in expected), *([lock] if lock else [])]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_comes_up_answers_and_leaves_nothing_behind(start, number):
    up = await (await start()).is_up()
    await up.answers_everywhere()
    pids = up.pids

    assert await up.end(number) == 0

    assert not any(map(is_alive, pids))
    assert up.published == {}
    assert rests(up.home) == []


async def test_it_says_where_everything_is_and_what_to_try(start):
    up = await (await start()).is_up()
    gateway = up.address("gateway")

    await eventually(lambda: "grpcurl" in up.said)

    assert f"http://{gateway}/v1/register" in up.said
    assert f"http://{gateway}/v1/messages" in up.said
    assert f"http://{gateway}/v1/search" in up.said


@pytest.mark.parametrize("name", PROCESSES)
async def test_a_killed_process_comes_back_healthy_at_its_old_address(start, name):
    up = await (await start()).is_up()
    before = {each: up.published["processes"][each].get("address") for each in PROCESSES}
    killed = up.pid(name)

    os.kill(killed, signal.SIGKILL)

    await up.has_restarted(name, killed)
    await eventually(lambda: f"{name} is back" in up.said)
    assert {e: up.published["processes"][e].get("address") for e in PROCESSES} == before
    await until_answering(up)
    assert await up.end(signal.SIGTERM) == 0


async def until_answering(up: Up) -> None:
    """Health follows the database with a delay of the services' own."""
    deadline = asyncio.get_running_loop().time() + 30
    while True:
        try:
            return await up.answers_everywhere()
        except AssertionError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)


async def test_what_was_committed_is_there_after_postgres_was_killed(start):
    up = await (await start()).is_up()
    url = up.published["database_url"]
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    connection.terminate()
    killed = up.pid("postgres")

    os.kill(killed, signal.SIGKILL)
    await up.has_restarted("postgres", killed)

    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close()


async def test_a_second_start_in_the_same_home_is_refused_in_one_line(start):
    up = await (await start()).is_up()

    second = await start()

    assert await asyncio.wait_for(second.process.wait(), START) == 1
    assert second.said.count("\n") == 1
    assert f"already running in {up.home} (pid {up.process.pid})" in second.said
    assert str(up.address("gateway")) in second.said
    await up.answers_everywhere()


async def test_two_homes_run_side_by_side(start, folder):
    one = await (await start()).is_up()
    other = await (await start(home=folder / "other")).is_up()

    assert await one.end(signal.SIGTERM) == 0

    await other.answers_everywhere()
    assert await other.end(signal.SIGTERM) == 0


async def test_a_killed_start_takes_everything_along_and_the_next_one_works(start):
    up = await (await start()).is_up()
    pids = up.pids

    up.process.kill()
    await up.process.wait()
    again = await start()

    await eventually(lambda: not any(map(is_alive, pids)))
    await eventually(lambda: again.published.get("pid") == again.process.pid, START)
    await again.answers_everywhere()
    assert await again.end(signal.SIGTERM) == 0
    assert rests(again.home) == []


async def test_an_end_in_the_middle_of_the_start_leaves_nothing(start):
    up = await start()
    await eventually(lambda: "preparing Postgres" in up.said, START)

    assert await up.end(signal.SIGTERM) == 0

    assert rests(up.home) == []


async def test_a_second_signal_does_not_wait(start):
    up = await (await start()).is_up()
    pids = up.pids

    up.process.send_signal(signal.SIGINT)
    await eventually(lambda: "stopping" in up.said)
    with suppress(ProcessLookupError):
        up.process.send_signal(signal.SIGINT)

    assert await asyncio.wait_for(up.process.wait(), 20) == 0
    assert not any(map(is_alive, pids))


async def test_a_taken_port_is_refused_in_one_line(start):
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        up = await start(KITH_EVENT_BIND=f"127.0.0.1:{port}")

        assert await asyncio.wait_for(up.process.wait(), START) == 1

    assert f"kith: cannot listen on 127.0.0.1:{port}" in up.said
    assert "KITH_EVENT_BIND" in up.said
    assert up.said.count("\n") == 1


@pytest.mark.parametrize("command", [STAND_INS], ids=["stand-ins"], indirect=True)
async def test_a_service_that_cannot_start_is_quoted_and_everything_ends(start):
    up = await start("broken")

    assert await asyncio.wait_for(up.process.wait(), START) == 1

    assert up.said.endswith(
        "kith: knowledge exited with status 2\n  knowledge: KITH_COLOUR: blue is not a colour\n"
    )
    assert rests(up.home) == []
