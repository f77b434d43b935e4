"""`kith knowledge status`."""

import json
import sys
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from kith.knowledge.v1 import index_service_pb2 as pb
from kith.knowledge.v1.index_service_pb2_grpc import IndexServiceStub
from kithctl.knowledge.spaces import fields_of, state_of
from kithctl.knowledge.target import JsonOption, ServiceOption, open_knowledge
from kithctl.target import HomeOption

_SECONDS = 30.0


def status(
    as_json: JsonOption = False, service: ServiceOption = None, home: HomeOption = Path(".kith")
) -> None:
    """Tell what waits to be indexed, what was given up, and which spaces there are.

    Exit status 0, whatever waits.
    """
    with open_knowledge(service, home) as (channel, credential):
        answer = IndexServiceStub(channel).GetIndexStatus(
            pb.GetIndexStatusRequest(), timeout=_SECONDS, metadata=credential
        )
    if as_json or not sys.stdout.isatty():
        typer.echo(json.dumps(_fields(answer)))
    else:
        _show(Console(highlight=False), answer)


def _fields(answer: pb.GetIndexStatusResponse) -> dict[str, Any]:
    return {
        "backlog": answer.backlog,
        "oldest_pending_seconds": round(answer.oldest_pending_seconds, 3),
        "dead_letters": answer.dead_letters,
        "spaces": [fields_of(space) for space in answer.spaces],
    }


def _show(console: Console, answer: pb.GetIndexStatusResponse) -> None:
    table = Table("space", "state", "model", box=None, header_style="bold")
    for name in ("dimension", "indexed", "pending", "given up"):
        table.add_column(name, justify="right")
    for space in answer.spaces:
        table.add_row(
            space.space, state_of(space), space.model, str(space.dimension),
            f"{space.indexed_items:,}", f"{space.pending_items:,}", f"{space.failed_items:,}",
        )  # fmt: skip
    console.print(table)
    if answer.backlog:
        console.print(
            f"[bold]{answer.backlog:,}[/bold] wait, the oldest for "
            f"{answer.oldest_pending_seconds:,.1f} s"
        )
    else:
        console.print("Nothing waits.", style="green")
    if answer.dead_letters:
        console.print(
            f"[bold]{answer.dead_letters:,}[/bold] [red]given up[/red]; "
            "`kith knowledge dead-letters` tells why"
        )
