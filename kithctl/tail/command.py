"""`kith tail`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from kithctl.failure import Failure
from kithctl.importing.target import GatewayOption, open_gateway
from kithctl.tail.gateway import GatewaySource
from kithctl.tail.screens import JsonLines, Screen, Terminal
from kithctl.tail.service import ServiceSource
from kithctl.tail.source import Choice, Source, Start, Told, going_on
from kithctl.target import HomeOption

_LAST_POSITION = 2**63 - 1


def tail(
    gateway: GatewayOption = None,
    service: Annotated[
        str | None,
        typer.Option(metavar="ADDR", help="Ask the event service itself, such as 127.0.0.1:50052."),
    ] = None,
    person: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this person, by any of their ids.")
    ] = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Only events of this type; repeatable.")
    ] = None,
    platform: Annotated[
        list[str] | None, typer.Option(help="Only on this platform; repeatable.")
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="beginning|now|POSITION",
            help="Where to begin: by default now, or with --no-follow the beginning.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Lines of JSON also at a terminal.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Go on with what is logged from now on.")
    ] = True,
    home: HomeOption = Path(".kith"),
) -> None:  # fmt: skip
    """Show the log as it grows; after a cut it goes on by itself where it was."""
    start = _start(from_, follow)
    choice = Choice(person, type_ or (), platform or ())
    screen: Screen = JsonLines() if as_json or not sys.stdout.isatty() else Terminal()
    try:
        with _source(gateway, service, home, choice) as source:
            _show(going_on(source, start, _pausing), screen, follow, start != "now")
    except KeyboardInterrupt:
        # That is how it is meant to end.
        return
    except BrokenPipeError:
        # Whoever read has had enough; Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _source(
    gateway: str | None, service: str | None, home: Path, choice: Choice
) -> Iterator[Source]:
    if service is None:
        with open_gateway(gateway, home) as target:
            yield GatewaySource(target, choice)
        return
    if gateway is not None:
        raise Failure("--gateway and --service are two ways to the same log; give one")
    source = ServiceSource(service, choice)
    try:
        yield source
    finally:
        source.close()


def _show(told_all: Iterator[Told], screen: Screen, follow: bool, has_history: bool) -> None:
    for told in told_all:
        if told.event is not None:
            screen.show(told.event)
        if told.is_caught_up and not follow:
            return
        if told.is_caught_up and has_history:
            screen.caught_up(told.position)
            # After a cut it is no news any more.
            has_history = False


def _start(text: str | None, follow: bool) -> Start:
    match text:
        case None:
            return "now" if follow else "beginning"
        case "beginning" | "now":
            return text
        case _:
            with suppress(ValueError):
                if 0 <= (position := int(text)) <= _LAST_POSITION:
                    return position
            raise Failure(f"--from {text}: is to be beginning, now, or a position")


def _pausing(seconds: float, why: str) -> None:
    typer.echo(f"kith: {why}; again in {seconds:.1f} s", err=True)
