"""Processes that do not outlive the one that started them."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kithctl.child import Child, Command
from tests.kithctl.waiting import eventually, is_alive

PARENT = """
import asyncio, sys
from kithctl.child import Child, Command

async def main():
    child = await Child.start(Command(["/bin/sleep", "1000"]), sys.stderr.buffer)
    print(child.pid, flush=True)
    await child.wait()

asyncio.run(main())
"""


def python(code: str) -> Command:
    return Command([sys.executable, "-c", code])


async def test_a_child_dies_with_its_killed_parent():
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert is_alive(child)

    parent.kill()
    await parent.wait()

    await eventually(lambda: not is_alive(child))


async def test_a_child_is_out_of_reach_of_ctrl_c_at_the_terminal():
    child = await Child.start(Command(["/bin/sleep", "1000"]), subprocess.DEVNULL)

    assert os.getsid(child.pid) == child.pid
    assert await child.stop() == -signal.SIGTERM


async def test_a_child_that_ignores_being_asked_is_killed(tmp_path: Path):
    started = tmp_path / "started"
    deaf = python(
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"pathlib.Path({str(started)!r}).touch(); time.sleep(1000)"
    )
    ending = ((signal.SIGTERM, 0.2), (signal.SIGKILL, 5.0))
    child = await Child.start(Command(deaf.arguments, ending=ending), subprocess.DEVNULL)
    await eventually(started.exists)

    assert await child.stop() == -signal.SIGKILL


async def test_a_program_that_is_not_there_is_named(tmp_path: Path):
    with (tmp_path / "said").open("w+b") as said:
        child = await Child.start(Command(["/nowhere/to/be/found"]), said)
        assert await child.wait() == 1
        said.seek(0)

        assert b"cannot run /nowhere/to/be/found: No such file" in said.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
async def test_a_child_of_root_can_be_somebody_else(tmp_path: Path):
    with (tmp_path / "said").open("w+b") as said:
        child = await Child.start(
            Command(["/bin/sh", "-c", "id -un; id -u"], folder=Path("/"), user="nobody"), said
        )
        await child.wait()
        said.seek(0)
        name, uid = said.read().decode().split()

    assert name == "nobody"
    assert int(uid) != 0
