"""`kith erase PERSON_ID`."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from kithctl.erasing.screens import JsonScreen, Screen, TerminalScreen
from kithctl.failure import Failure
from kithctl.importing.gateway import Gateway, Unreachable
from kithctl.importing.target import GatewayOption, open_gateway
from kithctl.target import HomeOption
from svckit import ids

_POLL_SECONDS = 0.5
# What is recorded and goes on without us is neither done nor failed.
STILL_RUNNING = 3

PersonArgument = Annotated[
    str, typer.Argument(metavar="PERSON_ID", help="Whom, by any of their ids.")
]


def erase(
    person_id: PersonArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the receipt.")
    ] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON also at a terminal.")] = False,
    gateway: GatewayOption = None,
    home: HomeOption = Path(".kith"),
) -> None:
    """Erase everything about a person, for good; repeating it shows the receipt again.

    Ends with 0 once nothing is left, with 3 where it is recorded and still going on, with 1
    where it was refused.
    """
    if not ids.is_uuid(person_id):
        raise Failure(f"{person_id!r} is not the id of a person: it is to be a UUID")
    screen: Screen = JsonScreen() if as_json or not sys.stdout.isatty() else TerminalScreen()
    with open_gateway(gateway, home, screen.pausing) as target:
        _ensure_meant(person_id, yes)
        with screen:
            receipt = _waited_for(target, target.delete(f"/v1/persons/{person_id}"), screen, wait)
    screen.finished(receipt)
    if receipt["state"] != "succeeded":
        raise typer.Exit(STILL_RUNNING)


def _ensure_meant(person_id: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure("nobody is there to be asked: --yes says that it is meant")
    question = f"Erase {person_id} and everything that is kept about them, for good?"
    if not typer.confirm(question, err=True):
        raise Failure("nothing was erased")


def _waited_for(
    target: Gateway, erasure: dict[str, Any], screen: Screen, seconds: float
) -> dict[str, Any]:
    """The receipt, or how far the erasure is known to be: when the time is over, nobody wants to
    wait, or the gateway does not answer any more. It is recorded, so it goes on in any case.
    """
    until = time.monotonic() + seconds
    screen.progress(erasure)
    try:
        while erasure["state"] != "succeeded" and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
            erasure = target.get(f"/v1/erasures/{erasure['erasure_id']}")
            screen.progress(erasure)
    except (KeyboardInterrupt, Unreachable):
        pass
    return erasure
