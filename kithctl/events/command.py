"""`kith events retain`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kith.event.v1 import event_service_pb2 as pb
from kithctl.events.target import ServiceOption, open_events
from kithctl.target import HomeOption

# Days go one at a time, and forgetting ids walks through all of them.
PATIENCE_SECONDS = 3600.0

app = typer.Typer(name="events", help="Look after the log of events.", no_args_is_help=True)


@app.command("retain")
def retain(
    days: Annotated[
        int, typer.Option(min=1, max=36_500, help="How many whole days before today are kept.")
    ],
    drop_keys: Annotated[
        bool,
        typer.Option(
            "--drop-keys",
            help="Forget the ids of dropped events, too: a retry of one is then logged as new.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be dropped.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON also at a terminal.")] = False,
    service: ServiceOption = None,
    home: HomeOption = Path(".kith"),
) -> None:
    """Drop the days of the log that are older; repeating it changes nothing."""
    with open_events(service, home) as (events, credential):
        answer = events.RetainEvents(
            pb.RetainEventsRequest(days=days, drop_keys=drop_keys, dry_run=dry_run),
            timeout=PATIENCE_SECONDS,
            metadata=credential,
        )
    if as_json or not sys.stdout.isatty():
        typer.echo(json.dumps(_fields(answer, dry_run=dry_run)))
    else:
        _show(Console(highlight=False), answer, dry_run=dry_run)


def _fields(answer: pb.RetainEventsResponse, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "dropped_days": list(answer.dropped_days),
        "dropped_events": answer.dropped_events,
        "dropped_keys": answer.dropped_keys,
    }


def _show(console: Console, answer: pb.RetainEventsResponse, *, dry_run: bool) -> None:
    if not answer.dropped_days and not answer.dropped_keys:
        console.print("Nothing is older.", style="green")
        return
    verb = "[yellow]would go[/yellow]" if dry_run else "[green]dropped[/green]"
    if answer.dropped_days:
        first, last = answer.dropped_days[0], answer.dropped_days[-1]
        span = first if first == last else f"{first} to {last}"
        console.print(
            f"[bold]{len(answer.dropped_days):,}[/bold] days ({span}) with "
            f"[bold]{answer.dropped_events:,}[/bold] events {verb}"
        )
    if answer.dropped_keys:
        console.print(f"[bold]{answer.dropped_keys:,}[/bold] ids {verb}")
