"""`kith import FILE`."""

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from kithctl.failure import Failure
from kithctl.importing.formats import READERS, Format, detect
from kithctl.importing.importer import Importer, InvalidMessage
from kithctl.importing.journals import JsonJournal, TerminalJournal
from kithctl.importing.naming import named
from kithctl.importing.records import Record
from kithctl.importing.target import GatewayOption, open_gateway
from kithctl.target import HomeOption

_UNITS = {Format.NDJSON: "line", Format.TELEGRAM: "message"}


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, metavar="FILE",
            help="JSON lines, each the body of a POST /v1/messages; or a Telegram result.json.",
        ),
    ],
    gateway: GatewayOption = None,
    format_: Annotated[
        Format, typer.Option("--format", help="What FILE is.")
    ] = Format.AUTO,
    start_at: Annotated[
        int, typer.Option(min=1, help="Pass over what comes before this line (Telegram: message).")
    ] = 1,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave out what cannot be imported, and go on.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Lines of JSON also at a terminal.")
    ] = False,
    home: HomeOption = Path(".kith"),
) -> None:  # fmt: skip
    """Import conversations from a file, in its order; importing it again changes nothing."""
    with file.open("rb") as stream:
        if not stream.seekable():
            raise Failure(f"{file} is no file that can be read again from its start")
        kind = detect(stream) if format_ is Format.AUTO else format_
        size = os.fstat(stream.fileno()).st_size
        new_journal = JsonJournal if as_json or not sys.stdout.isatty() else TerminalJournal
        journal = new_journal(_UNITS[kind], size, stream.tell)
        with open_gateway(gateway, home, journal.pausing) as target, journal:
            importer = Importer(target, journal, skip_invalid=skip_invalid)
            stopped_by = _run(importer, _records(kind, stream, start_at), _UNITS[kind])
        journal.finished(importer.tally, stopped_by)
    if stopped_by or importer.tally.failed:
        raise typer.Exit(1)


def _records(kind: Format, stream: BinaryIO, start_at: int) -> Iterator[Record]:
    # Those passed over are read as well: the names of equal messages count them.
    return itertools.dropwhile(lambda record: record.place < start_at, named(READERS[kind](stream)))


def _run(importer: Importer, records: Iterator[Record], unit: str) -> str | None:
    """Import; says why it stopped, where it did not come to the end."""
    try:
        importer.run(records)
    except InvalidMessage as error:
        return f"{unit} {error.place}: {error} (--skip-invalid leaves such ones out)"
    except Failure as error:
        return f"{error}; {_going_on(importer)}"
    except KeyboardInterrupt:
        return f"interrupted; {_going_on(importer)}"
    return None


def _going_on(importer: Importer) -> str:
    after = importer.tally.reached
    return f"the same command goes on; with --start-at {after + 1} it passes over what is done"
