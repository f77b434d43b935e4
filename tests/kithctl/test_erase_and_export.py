"""`kith erase` and `kith export`, before the real gateway and before one that fails."""

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from typer import Exit

from kithctl.erasing.command import STILL_RUNNING, erase
from kithctl.erasing.screens import TerminalScreen
from svckit import ids
from tests.support.command import kith
from tests.support.http import serving
from tests.support.messages import a_message, sent
from tests.support.stack import Stack, stack

__all__ = ["stack"]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def somebody(stack: Stack) -> str:
    async with stack.gateway() as client:
        return str((await sent(client, a_message()))["person_id"])


async def test_erasing_answers_the_receipt_and_again_the_same(stack: Stack, tmp_path: Path):
    person = await somebody(stack)
    async with stack.listening() as url:
        first = await kith("erase", person, "--yes", "--gateway", url, home=tmp_path)
        again = await kith("erase", person, "--yes", "--gateway", url, home=tmp_path)

    assert first.status == 0, first.errors
    assert first.summary["state"] == "succeeded"
    assert first.summary["person_ids"] == [person]
    assert (again.status, again.summary) == (0, first.summary)


async def test_nothing_is_erased_without_a_yes(stack: Stack, tmp_path: Path):
    person = await somebody(stack)
    async with stack.listening() as url:
        refused = await kith("erase", person, "--gateway", url, home=tmp_path)
    async with stack.gateway() as client:
        still = await client.get(f"/v1/persons/{person}")

    assert (refused.status, refused.output) == (1, "")
    assert "--yes" in refused.errors
    assert still.status_code == 200


async def test_what_is_still_going_on_has_a_status_of_its_own(stack: Stack, tmp_path: Path):
    person = await somebody(stack)
    await stack.stop("event")
    async with stack.listening(request_seconds=1.0) as url:
        running = await kith(
            "erase", person, "--yes", "--wait", "0", "--gateway", url, home=tmp_path
        )
    assert running.status == 3, running.errors
    assert [step["stage"] for step in running.summary["steps"]] == ["knowledge"]


async def test_a_gateway_that_goes_away_while_it_waits_takes_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    running = {"erasure_id": ids.new(), "state": "running", "steps": []}

    async def answer(request: Request) -> Response:
        if request.url.path == "/healthz":
            return JSONResponse({"storage_backend": "postgres"})
        return JSONResponse(running, 202) if request.method == "DELETE" else Response("", 503)

    monkeypatch.setattr("kithctl.importing.gateway._LONGEST_PAUSE", 0.01)
    app = Starlette(routes=[Route("/{rest:path}", answer, methods=["GET", "DELETE"])])
    async with serving(app) as url:
        with pytest.raises(Exit) as ended:
            await asyncio.to_thread(
                erase, ids.new(), yes=True, wait=60, as_json=True, gateway=url, home=tmp_path
            )

    assert ended.value.exit_code == STILL_RUNNING
    assert json.loads(capfd.readouterr().out) == running


@pytest.mark.parametrize("command", [("erase", "--yes"), ("export",)])
async def test_what_is_no_id_is_refused(command: tuple[str, ...], tmp_path: Path):
    finished = await kith(command[0], "ada", *command[1:], home=tmp_path)

    assert finished.status == 1
    assert "UUID" in finished.errors


async def test_an_export_appears_when_it_is_whole(stack: Stack, tmp_path: Path):
    person = await somebody(stack)
    file = tmp_path / "ada.zip"
    async with stack.listening() as url:
        done = await kith("export", person, "-o", file, "--gateway", url, home=tmp_path)
        kept = await kith("export", person, "-o", file, "--gateway", url, home=tmp_path)
        forced = await kith(
            "export", person, "-o", file, "--force", "--gateway", url, home=tmp_path
        )

    assert done.status == 0, done.errors
    assert done.summary["records"]["events"] == 2
    with zipfile.ZipFile(file) as read:
        assert json.loads(read.read("manifest.json"))["person_id"] == person
    assert [name for name in names_in(tmp_path) if "ada" in name] == ["ada.zip"]
    assert file.stat().st_mode & 0o077 == 0
    assert (kept.status, forced.status) == (1, 0)
    assert "--force" in kept.errors


@pytest.mark.parametrize("fault", ["broken", "other"])
async def test_what_is_not_whole_is_not_kept(tmp_path: Path, fault: str):
    async def body() -> AsyncIterator[bytes]:
        yield b"PK\x03\x04 and so on"
        if fault == "broken":
            raise RuntimeError("gone")

    async def answer(_: Request) -> Response:
        if fault == "other":
            made = io.BytesIO()
            with zipfile.ZipFile(made, "w") as written:
                written.writestr("x", "y")
            return Response(made.getvalue(), media_type="application/zip")
        return StreamingResponse(body(), media_type="application/zip")

    async def health(_: Request) -> Response:
        return JSONResponse({"storage_backend": "postgres"})

    app = Starlette(routes=[Route("/healthz", health), Route("/v1/{rest:path}", answer)])
    file = tmp_path / "out" / "ada.zip"
    file.parent.mkdir()
    async with serving(app) as url:
        finished = await kith("export", ids.new(), "-o", file, "--gateway", url, home=tmp_path)

    assert finished.status == 1, finished.output
    assert "nothing was kept" in finished.errors
    assert names_in(file.parent) == []


async def test_an_export_that_cannot_be_written_says_so(stack: Stack, tmp_path: Path):
    async with stack.listening() as url:
        finished = await kith(
            "export", ids.new(), "-o", tmp_path / "no" / "x.zip", "--gateway", url, home=tmp_path
        )

    assert finished.status == 1
    assert "cannot be written" in finished.errors


async def test_a_terminal_shows_steps_counts_and_caveats(stack: Stack):
    person = await somebody(stack)
    async with stack.gateway() as client:
        receipt: dict[str, Any] = (await client.delete(f"/v1/persons/{person}")).json()
    written = io.StringIO()
    screen = TerminalScreen(Console(file=written, width=100))

    with screen:
        screen.progress({**receipt, "steps": receipt["steps"][:1]})
        screen.pausing(1.0, "why")
        screen.progress(receipt)
    screen.finished(receipt)

    told = written.getvalue()
    for said in ("done  knowledge", "done  events", "done  identity", "items", "backups"):
        assert said in told
    assert f"erased, receipt {receipt['erasure_id']}" in told
