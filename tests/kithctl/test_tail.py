"""`kith tail` as a command, before a gateway whose services are scripted."""

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from rich.console import Console

from kith.identity.v1 import person_pb2
from kithctl.failure import Failure
from kithctl.tail.screens import Terminal, plain
from kithctl.tail.source import Cut, Start, Told, going_on
from svckit import errors, ids
from tests.support.command import kith
from tests.support.messages import eventually
from tests.support.scripted import Scripted
from tests.support.scriptedlog import ScriptedLog

ADA = ids.named("test", "ada")


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    async with Scripted().running() as scripted:
        yield scripted


@pytest.fixture
def log(scripted: Scripted) -> ScriptedLog:
    return ScriptedLog(scripted.events)


@pytest.fixture
async def url(scripted: Scripted, log: ScriptedLog) -> AsyncIterator[str]:
    async with scripted.listening() as (url, _):
        yield url


class Running:
    """A `kith tail` that goes on."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def event(self) -> dict[str, Any]:
        """The next event that it shows."""
        assert self.process.stdout is not None
        with anyio.fail_after(20):
            line = await self.process.stdout.readline()
        return dict(json.loads(line))


@asynccontextmanager
async def tailing(*arguments: str) -> AsyncIterator[Running]:
    """`kith tail`, gone at the end whatever the test did to it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kithctl", "tail", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={k: v for k, v in os.environ.items() if not k.startswith("KITH_")},
    )  # fmt: skip
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def is_open(log: ScriptedLog) -> bool:
    return log.open == 1


async def test_it_shows_what_is_there_and_ends(tmp_path, log, url):
    for n in range(3):
        await log.append(n=n, text="line\u2028separator")

    whole = await kith("tail", "--gateway", url, "--no-follow", home=tmp_path)
    part = await kith("tail", "--gateway", url, "--no-follow", "--from", "2", home=tmp_path)

    assert (whole.status, whole.errors) == (0, "")
    assert [event["content"]["n"] for event in whole.lines] == [0, 1, 2]
    assert whole.lines[0]["position"] == 1
    assert [event["content"]["n"] for event in part.lines] == [2]


async def test_it_follows_until_it_is_interrupted(log, url):
    await log.append(n=0)
    async with tailing("--gateway", url) as running:
        await eventually(lambda: is_open(log), seconds=20)
        await log.append(n=1)

        assert (await running.event())["content"] == {"n": 1}

        running.process.send_signal(signal.SIGINT)
        _, said = await running.process.communicate()
    assert (running.process.returncode, said) == (0, b"")


async def test_after_a_cut_it_goes_on_where_it_was(log, url):
    async with tailing("--gateway", url, "--from", "beginning") as running:
        await log.append(n=0)
        found = [await running.event()]
        await eventually(lambda: is_open(log), seconds=20)
        await log.fail(errors.Unavailable("the store is away"))
        await log.append(n=1)
        found.append(await running.event())
        await eventually(lambda: is_open(log), seconds=20)
        await log.append(n=2)
        found.append(await running.event())

        running.process.send_signal(signal.SIGINT)
        _, said = await running.process.communicate()

    assert [event["content"]["n"] for event in found] == [0, 1, 2]
    assert said.decode().startswith("kith: the gateway asks to come back; again in ")


async def test_filters_are_passed_on(tmp_path, scripted, log, url):
    scripted.people(person_pb2.Person(person_id=ADA, person_ids=[ADA], subject_ids=[ADA]))

    finished = await kith(
        "tail", "--gateway", url, "--no-follow", "--person", ADA, "--type", "a", "--type", "b",
        "--platform", "web", home=tmp_path,
    )  # fmt: skip

    assert finished.status == 0, finished.errors
    chosen = scripted.events.last("SubscribeEvents").filter
    assert list(chosen.subject_ids) == [ADA]
    assert (list(chosen.event_types), list(chosen.platforms)) == (["a", "b"], ["web"])


async def test_the_service_can_be_asked_itself(tmp_path, scripted, log):
    await log.append(n=0)
    address = scripted.settings().event_address

    finished = await kith("tail", "--service", address, "--no-follow", home=tmp_path)

    assert (finished.status, finished.errors) == (0, "")
    assert [event["content"] for event in finished.lines] == [{"n": 0}]


class Expired(errors.FailedPrecondition):
    reason = "POSITION_EXPIRED"


@pytest.mark.parametrize("way", ["--gateway", "--service"])
async def test_a_position_that_is_gone_is_told_with_what_is_left(tmp_path, scripted, url, way: str):
    scripted.events.answer("SubscribeEvents", Expired("gone", position=1, first_position=17))
    where = url if way == "--gateway" else scripted.settings().event_address

    finished = await kith("tail", way, where, "--from", "1", home=tmp_path)

    assert finished.status == 1
    assert finished.errors == (
        "kith: retention has dropped what came then; --from 17 is what is left\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--gateway", "http://127.0.0.1:1"),
            "nothing answers at http://127.0.0.1:1; start it with `make run`",
        ),
        (
            ("--service", "127.0.0.1:1", "--person", ADA),
            "--person needs the gateway, which knows who is one person",
        ),
        (
            ("--service", "127.0.0.1:1", "--gateway", "http://127.0.0.1:1"),
            "--gateway and --service are two ways to the same log; give one",
        ),
        (("--from", "noon"), "--from noon: is to be beginning, now, or a position"),
        (("--from", "-1"), "--from -1: is to be beginning, now, or a position"),
        (("--from", f"{2**63}"), f"--from {2**63}: is to be beginning, now, or a position"),
    ],
)
async def test_what_the_person_can_put_right_is_one_line(tmp_path, arguments, said):
    finished = await kith("tail", *arguments, home=tmp_path)

    assert (finished.status, finished.errors) == (1, f"kith: {said}\n")


async def test_a_person_who_is_not_there_is_told(tmp_path, log, url):
    finished = await kith("tail", "--gateway", url, "--person", ADA, home=tmp_path)

    assert finished.status == 1
    assert "there is no person" in finished.errors


class Steps:
    """A source that tells what it is told to, one list a connection."""

    def __init__(self, *connections: list[Told | Exception]) -> None:
        self._connections = list(connections)
        self.starts: list[Start] = []

    def tell(self, start: Start) -> Any:
        self.starts.append(start)
        for step in self._connections.pop(0):
            if isinstance(step, Exception):
                raise step
            yield step


def test_pauses_grow_until_something_is_told():
    source = Steps([Cut("a")], [Cut("b", 3.0)], [Cut("c")], [Told(5), Cut("d")], [Failure("final")])
    pauses: list[float] = []

    with pytest.raises(Failure):
        list(going_on(source, "now", lambda seconds, _: pauses.append(seconds), lambda _: None))

    assert source.starts == ["now", "now", "now", "now", 5]
    assert pauses[1] == 3.0
    assert pauses[0] <= 0.25 < 0.5 <= pauses[2] <= 1.0 and pauses[3] <= 0.25


def shown(**changes: Any) -> str:
    event = {
        "created_at": "2026-03-01T12:00:00Z", "platform": "web", "event_type": "note",
        "person_id": ADA, "link_id": None, "content": {}, "redacted_at": None,
        "redaction_reason": None, **changes,
    }  # fmt: skip
    stream = io.StringIO()
    Terminal(Console(file=stream, force_terminal=True, width=200)).show(event)
    return stream.getvalue()


def test_an_event_is_one_line_in_colours():
    line = shown(content={"text": "I moved\nto [bold]Lisbon[/bold]."})

    assert line.count("\n") == 1 and "\x1b[" in line
    assert "I moved to [bold]Lisbon[/bold]." in line
    assert ADA[-8:] in line
    assert '{"n":1}' in shown(content={"n": 1})
    assert "(redacted: asked for)" in shown(redacted_at="x", redaction_reason="asked for")


def test_what_somebody_says_does_not_command_the_terminal():
    assert plain("a\x1b[2Jb\x07\u202e c\t\td") == "a�[2Jb�� c d"
    assert "\x1b[2J" not in shown(content={"text": "\x1b[2J"}, event_type="note")
