"""Processes that are kept running."""

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from kithctl.child import Command
from kithctl.failure import Failure
from kithctl.output import Output
from kithctl.supervisor import ProcessSpec, Supervisor
from tests.kithctl.waiting import eventually, is_alive

# Notes when it starts and when it is asked to end.
WORKER = """
import pathlib, signal, sys, time
name, journal, ready = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
def note(what):
    with journal.open("a") as file:
        file.write(f"{name} {what}\\n")
def end(number, frame):
    note("ends")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
note("starts")
ready.touch()
print(name, "works", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def said() -> io.BytesIO:
    return io.BytesIO()


@pytest.fixture
async def supervisor(said: io.BytesIO) -> AsyncIterator[Supervisor]:
    output = Output(said)
    supervisor = Supervisor(output)
    yield supervisor
    await supervisor.stop()
    await output.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def a_worker(tmp_path: Path, journal: Path) -> Callable[[str], ProcessSpec]:
    """A process that is ready when it says so."""

    def worker(name: str) -> ProcessSpec:
        ready = tmp_path / f"{name}.ready"

        async def command() -> Command:
            ready.unlink(missing_ok=True)
            return Command([sys.executable, "-c", WORKER, name, str(journal), str(ready)])

        async def wait_until_ready() -> None:
            await eventually(ready.exists)

        return ProcessSpec(name, command, wait_until_ready)

    return worker


def a_failure(code: str, **changes: int) -> ProcessSpec:
    """A process that never becomes ready."""

    async def command() -> Command:
        return Command([sys.executable, "-c", code])

    async def wait_until_ready() -> None:
        await asyncio.Event().wait()

    return ProcessSpec("failure", command, wait_until_ready, **changes)


async def test_a_killed_process_is_started_again(supervisor, a_worker, journal, said):
    await supervisor.start(a_worker("one"))
    killed = supervisor.pids["one"]

    os.kill(killed, signal.SIGKILL)

    await eventually(lambda: journal.read_text().count("one starts") == 2)
    await eventually(lambda: b"one is back" in said.getvalue())
    assert supervisor.pids["one"] != killed
    assert b"one was ended by SIGKILL; starting it again in 0.2 s" in said.getvalue()


async def test_processes_end_in_the_order_opposite_to_their_start(supervisor, a_worker, journal):
    for name in ("database", "service", "gateway"):
        await supervisor.start(a_worker(name))
    pids = list(supervisor.pids.values())

    await supervisor.stop()

    ends = [line for line in journal.read_text().splitlines() if line.endswith("ends")]
    assert ends == ["gateway ends", "service ends", "database ends"]
    assert not any(map(is_alive, pids))


async def test_a_process_that_cannot_start_is_given_up_with_its_last_words(supervisor):
    broken = a_failure("import sys; print('KITH_COLOUR: blue is not a colour'); sys.exit(2)")

    with pytest.raises(Failure) as raised:
        await supervisor.start(broken)

    assert str(raised.value) == (
        "failure exited with status 2\n  KITH_COLOUR: blue is not a colour"
    )


async def test_a_start_that_fails_can_still_be_stopped(supervisor, a_worker, journal):
    with pytest.raises(Failure):
        await supervisor.start(a_worker("one"), a_failure("raise SystemExit(2)"))

    await supervisor.stop()

    assert supervisor.pids == {}
    starts = journal.read_text().count("one starts") if journal.exists() else 0
    ends = journal.read_text().count("one ends") if journal.exists() else 0
    assert ends <= starts


async def test_a_process_that_does_not_become_ready_in_time_is_ended(supervisor):
    async def command() -> Command:
        return Command(["/bin/sleep", "1000"])

    async def wait_until_ready() -> None:
        raise Failure("not healthy after 0 s")

    with pytest.raises(Failure, match="not healthy"):
        await supervisor.start(ProcessSpec("sleeper", command, wait_until_ready))
    (pid,) = supervisor.pids.values()

    await supervisor.stop()

    assert not is_alive(pid)


async def test_a_stop_in_the_middle_of_a_start_leaves_nothing(supervisor):
    async def command() -> Command:
        return Command(["/bin/sleep", "1000"])

    starting = asyncio.create_task(
        supervisor.start(ProcessSpec("sleeper", command, asyncio.Event().wait))
    )
    await eventually(lambda: supervisor.pids != {})
    (pid,) = supervisor.pids.values()

    starting.cancel()
    with suppress(asyncio.CancelledError):
        await starting
    await supervisor.stop()

    assert not is_alive(pid)


async def test_forcing_does_not_wait_for_a_process_to_end_by_itself(supervisor, tmp_path):
    ready = tmp_path / "ready"
    deaf = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(1000)"
    )

    async def command() -> Command:
        return Command([sys.executable, "-c", deaf])

    async def wait_until_ready() -> None:
        await eventually(ready.exists)

    await supervisor.start(ProcessSpec("deaf", command, wait_until_ready))
    stopping = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0)

    supervisor.force()

    await asyncio.wait_for(stopping, 10)


async def test_what_was_forced_to_end_is_not_started_again(supervisor, a_worker, said):
    await supervisor.start(a_worker("one"))
    forced = supervisor.pids["one"]

    supervisor.force()

    await eventually(lambda: not is_alive(forced))
    await eventually(lambda: not supervisor.pids)
    await supervisor.stop()
    assert b"starting it again" not in said.getvalue()
