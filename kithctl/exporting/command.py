"""`kith export PERSON_ID`."""

import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import httpx
import orjson
import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

from kithctl.erasing.command import PersonArgument
from kithctl.failure import Failure
from kithctl.importing.gateway import PASSING, Gateway, Refused
from kithctl.importing.target import GatewayOption, open_gateway
from kithctl.target import HomeOption
from svckit import ids

FORMAT = "kith-export"


def export(
    person_id: PersonArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", dir_okay=False,
            help="Where to; by default kith-PERSON_ID.zip here.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON also at a terminal.")] = False,
    gateway: GatewayOption = None,
    home: HomeOption = Path(".kith"),
) -> None:  # fmt: skip
    """Write everything that is held about a person to a zip; it appears once it is whole.

    Ends with 0 where it is, with 1 where nothing was written.
    """
    if not ids.is_uuid(person_id):
        raise Failure(f"{person_id!r} is not the id of a person: it is to be a UUID")
    file = output or Path(f"kith-{person_id.lower()}.zip")
    if file.exists() and not force:
        raise Failure(f"{file} is there already; --force replaces it")
    is_quiet = as_json or not sys.stdout.isatty()
    console = Console(highlight=False, stderr=True, quiet=is_quiet)
    with (
        open_gateway(gateway, home, lambda s, why: _pausing(console, s, why)) as target,
        _becoming(file) as part,
        _progress(console) as progress,
    ):
        _download(target, person_id, part, progress)
        manifest = _manifest(part)
    _tell(file, manifest, is_quiet)


@contextmanager
def _becoming(file: Path) -> Iterator[BinaryIO]:
    """A file beside another, which takes its place if all goes well, and else is gone.

    Only its owner may read it.
    """
    try:
        number, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    except OSError as error:
        raise Failure(f"{file} cannot be written: {error.strerror}") from None
    part = Path(name)
    try:
        with os.fdopen(number, "w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(number)
        part.replace(file)
    except OSError as error:
        raise Failure(f"{file} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _download(target: Gateway, person_id: str, part: BinaryIO, progress: Progress) -> None:
    """Take in the export; waits for a gateway that has no time yet."""
    task = progress.add_task("", total=None)
    pauses = target.pauses()
    while True:
        try:
            with target.stream(f"/v1/persons/{person_id}/export", {}) as answer:
                for block in answer.iter_raw():
                    part.write(block)
                    progress.update(task, advance=len(block))
            return
        except Refused as refused:
            if refused.status not in PASSING:
                raise
            pauses.again(str(refused))
        except httpx.TransportError as error:
            said = str(error) or type(error).__name__
            if part.tell():
                raise Failure(f"the export broke off, nothing was kept: {said}") from None
            pauses.again(f"{target.url} cannot be reached: {said}")


def _manifest(part: BinaryIO) -> dict[str, Any]:
    """What the export says that it has; raises Failure where it is not whole."""
    try:
        with zipfile.ZipFile(part) as read:
            manifest: dict[str, Any] = orjson.loads(read.read("manifest.json"))
            names = {*read.namelist(), FORMAT}
    except (zipfile.BadZipFile, KeyError, orjson.JSONDecodeError):
        raise Failure("what came is not a whole export, nothing was kept") from None
    if not {manifest["format"], *(entry["name"] for entry in manifest["entries"])} <= names:
        raise Failure("what came is not a whole export, nothing was kept")
    return manifest


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(), DownloadColumn(), TransferSpeedColumn(), TextColumn("{task.description}"),
        console=console, transient=True,
    )  # fmt: skip


def _pausing(console: Console, seconds: float, why: str) -> None:
    console.print(f"again in {seconds:.1f} s: {why}", style="yellow", markup=False)


def _tell(file: Path, manifest: dict[str, Any], is_quiet: bool) -> None:
    records = {
        entry["name"].removesuffix(".jsonl"): entry["records"]
        for entry in manifest["entries"]
        if entry["records"] is not None
    }
    if is_quiet:
        told = {
            "file": str(file), "bytes": file.stat().st_size, "records": records,
            "missing_files": manifest["missing_files"],
        }  # fmt: skip
        typer.echo(orjson.dumps(told))
        return
    console = Console(highlight=False)
    counted = ", ".join(f"{number:,} {name}" for name, number in records.items() if number)
    console.print(f"[bold green]{file}[/bold green]: {counted or 'nothing but who they are'}")
    for document_id in manifest["missing_files"]:
        console.print(f"[yellow]the file of document {document_id} was not there[/yellow]")
