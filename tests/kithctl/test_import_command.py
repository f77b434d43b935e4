"""`kith import` as a command, before a stand-in for the gateway and before the real one."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.batchroute import BatchRoute
from tests.support.command import kith
from tests.support.http import serving
from tests.support.messages import texts
from tests.support.stack import Stack, stack

__all__ = ["stack"]


@pytest.fixture
async def route() -> AsyncIterator[BatchRoute]:
    """The stand-in; `route.url` is where it is."""
    route = BatchRoute()
    async with serving(route.app) as route.url:
        yield route


def a_line(number: int, **changes: Any) -> str:
    body = {"platform": "discord", "sender_id": "ada", "text": f"This is message {number}."}
    return json.dumps({**body, "timestamp": f"2026-01-01T10:00:{number:02d}Z", **changes}) + "\n"


def a_file(folder: Path, *lines: str) -> Path:
    file = folder / "talk.ndjson"
    file.write_text("".join(lines), encoding="utf-8")
    return file


async def test_it_finds_the_gateway_that_kith_up_has_started(tmp_path, route):
    running = {"processes": {"gateway": {"address": route.url.removeprefix("http://")}}}
    (tmp_path / "addresses.json").write_text(json.dumps(running))

    finished = await kith("import", a_file(tmp_path, a_line(1)), home=tmp_path)

    assert finished.status == 0, finished.errors
    assert route.texts == ["This is message 1."]


@pytest.mark.parametrize("options", [(), ("--format", "ndjson")])
async def test_a_pipe_is_refused_in_one_line(tmp_path, route, options: tuple[str, ...]):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Opened for both, it has its other end at once.
    held = os.open(pipe, os.O_RDWR)
    try:
        os.write(held, a_line(1).encode())
        refused = await kith("import", pipe, *options, "--gateway", route.url, home=tmp_path)
    finally:
        os.close(held)

    assert refused.status == 1
    assert refused.errors.count("\n") == 1
    assert "Traceback" not in refused.errors


@pytest.mark.parametrize("key", ["Schlüssel", "key\n"])
async def test_a_key_that_cannot_be_sent_is_named(tmp_path, route, key: str):
    file = a_file(tmp_path, a_line(1))

    refused = await kith("import", file, "--gateway", route.url, home=tmp_path, KITH_API_KEY=key)

    assert refused.status == 1
    assert refused.errors.startswith("kith: KITH_API_KEY: ")
    assert refused.errors.count("\n") == 1


async def test_without_a_terminal_it_speaks_json(tmp_path, route):
    file = a_file(tmp_path, a_line(1), a_line(2), a_line(2, text="ok"))

    finished = await kith("import", file, "--gateway", route.url, home=tmp_path)

    assert finished.status == 0
    summary = finished.summary
    assert summary["event"] == "summary"
    assert summary["complete"] is True
    assert (summary["sent"], summary["new"], summary["stored_as_knowledge"]) == (3, 3, 2)
    assert summary["skipped"] == summary["failed"] == {}


async def test_the_api_key_comes_from_the_environment(tmp_path, route):
    file = a_file(tmp_path, a_line(1))

    await kith("import", file, "--gateway", route.url, home=tmp_path, KITH_API_KEY="secret")

    assert route.authorization == {"Bearer secret"}


async def test_an_invalid_line_is_named_and_ends_the_import_with_status_1(tmp_path, route):
    file = a_file(tmp_path, a_line(1), "\n", a_line(3, text=""), a_line(4))

    finished = await kith("import", file, "--gateway", route.url, home=tmp_path)

    assert finished.status == 1
    assert finished.summary["complete"] is False
    assert finished.summary["why"].startswith("line 3: text: is required")
    assert route.texts == ["This is message 1."]


async def test_invalid_lines_can_be_left_out_and_still_count_as_a_failure(tmp_path, route):
    file = a_file(tmp_path, a_line(1), "{oops\n", a_line(3))

    finished = await kith("import", file, "--gateway", route.url, "--skip-invalid", home=tmp_path)

    assert finished.status == 1
    assert finished.summary["complete"] is True
    assert [line["line"] for line in finished.lines if line["event"] == "failed"] == [2]
    assert route.texts == ["This is message 1.", "This is message 3."]


async def test_an_import_that_goes_on_gives_the_same_ids(tmp_path, route):
    same = a_line(7)
    file = a_file(tmp_path, same, same, same)
    await kith("import", file, "--gateway", route.url, home=tmp_path)

    finished = await kith("import", file, "--gateway", route.url, "--start-at", 3, home=tmp_path)

    assert (finished.summary["sent"], finished.summary["duplicates"]) == (1, 1)
    assert len(route.log) == 3


async def test_where_nothing_runs_it_says_what_to_do(tmp_path):
    file = a_file(tmp_path, a_line(1))

    finished = await kith("import", file, "--gateway", "http://127.0.0.1:1", home=tmp_path)

    assert finished.status == 1
    assert finished.errors == (
        "kith: nothing answers at http://127.0.0.1:1; start it with `make run`\n"
    )


async def test_what_is_no_gateway_is_not_sent_anything(tmp_path, route):
    async def other(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"<html>"})

    async with serving(other) as url:
        finished = await kith(
            "import", a_file(tmp_path, a_line(1)), "--gateway", url, home=tmp_path
        )

    assert finished.status == 1
    assert "Kith's gateway" in finished.errors


async def test_the_real_gateway_takes_a_file_once_in_its_order(tmp_path, stack: Stack):
    lines = [a_line(number) for number in range(1, 31)]
    file = a_file(tmp_path, *lines, a_line(31, metadata={"n": 2**60}))

    async with stack.gateway() as client, stack.listening() as url:
        arguments = ("import", file, "--gateway", url, "--skip-invalid")
        first = await kith(*arguments, home=tmp_path)
        again = await kith(*arguments, home=tmp_path)
        found = await client.get("/v1/resolve?platform=discord&platform_id=ada")
        logged = await texts(client, found.json()["person_id"])

    assert logged == [f"This is message {number}." for number in range(1, 31)]
    assert (first.summary["new"], first.summary["duplicates"]) == (30, 0)
    assert (again.summary["new"], again.summary["duplicates"]) == (0, 30)
    [failed] = [line for line in first.lines if line["event"] == "failed"]
    assert failed["line"] == 31
    assert failed["why"].startswith("metadata.n: is an integer beyond 2^53")
