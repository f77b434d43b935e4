"""`kith knowledge reindex`, and what follows it: `cut-over`, `roll-back`, `drop`, `spaces`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kith.knowledge.v1 import index_service_pb2 as pb
from kith.knowledge.v1.index_service_pb2_grpc import IndexServiceStub
from kithctl.failure import Failure
from kithctl.knowledge.spaces import fields_of, state_of
from kithctl.knowledge.target import JsonOption, ServiceOption, open_knowledge
from kithctl.target import Credential, HomeOption

_SECONDS = 30.0
_HOME = Path(".kith")

SpaceArgument = Annotated[str, typer.Argument(help="Its name, as `kith knowledge spaces` has it.")]


class _Said:
    """What a command says: lines of JSON, or sentences for a person at a terminal."""

    def __init__(self, *, as_json: bool) -> None:
        self.is_json = as_json or not sys.stdout.isatty()
        self._console = Console(highlight=False)

    def __call__(self, sentence: str, **fields: Any) -> None:
        if self.is_json:
            typer.echo(json.dumps(fields))
        else:
            self._console.print(sentence)


@contextmanager
def _index(service: str | None, home: Path) -> Iterator[tuple[IndexServiceStub, Credential]]:
    with open_knowledge(service, home) as (channel, credential):
        yield IndexServiceStub(channel), credential


def reindex(
    documents: Annotated[
        bool,
        typer.Option(
            "--documents",
            help="Read documents again whose pieces another chunker made, in place of building "
            "a space.",
        ),
    ] = False,
    as_json: JsonOption = False,
    service: ServiceOption = None,
    home: HomeOption = _HOME,
) -> None:
    """Build a space for the next embedder (KITH_NEXT_EMBEDDER) and watch it until it may serve.

    Searches go on as before. Interrupting this does not interrupt the building; the same
    command watches it again.
    """
    say = _Said(as_json=as_json)
    with _index(service, home) as (index, credential):
        request = pb.StartReindexRequest(documents=documents)
        answer = index.StartReindex(request, timeout=_SECONDS, metadata=credential)
        if documents:
            say(
                f"[bold]{answer.documents:,}[/bold] documents are read again.",
                documents=answer.documents,
            )
            return
        name = answer.space.space
        watched = _to_the_end(
            name, index.WatchReindex(pb.WatchReindexRequest(space=name), metadata=credential)
        )
        if say.is_json:
            for one in watched:
                say("", **_progress(one))
            return
        failed = _show_progress(answer.space, watched)
    but = f", but for {failed:,} items: kith knowledge dead-letters tells why" if failed else ""
    say(f"[green]{name}[/green] has caught up{but}. Next: kith knowledge cut-over")


def cut_over(
    space: Annotated[
        str | None, typer.Argument(help="Which; by default the one that is being built.")
    ] = None,
    as_json: JsonOption = False,
    service: ServiceOption = None,
    home: HomeOption = _HOME,
) -> None:
    """Let a space serve that has caught up; the one before stands by."""
    with _index(service, home) as (index, credential):
        name = space
        if name is None:
            looks = index.WatchReindex(
                pb.WatchReindexRequest(), timeout=_SECONDS, metadata=credential
            )
            name = next(iter(looks)).space.space
            looks.cancel()
        answer = index.CutOver(pb.CutOverRequest(space=name), timeout=_SECONDS, metadata=credential)
    _Said(as_json=as_json)(
        f"[green]{answer.space.space}[/green] serves. If it should not: kith knowledge roll-back. "
        "If it should: kith knowledge drop the one before, then make its model the only one in "
        "the settings.",
        **fields_of(answer.space),
    )


def roll_back(
    as_json: JsonOption = False, service: ServiceOption = None, home: HomeOption = _HOME
) -> None:
    """Let the space serve again that stands by; the other one stands by then."""
    with _index(service, home) as (index, credential):
        answer = index.RollBack(pb.RollBackRequest(), timeout=_SECONDS, metadata=credential)
    _Said(as_json=as_json)(
        f"[green]{answer.space.space}[/green] serves again.", **fields_of(answer.space)
    )


def drop(
    space: SpaceArgument,
    as_json: JsonOption = False,
    service: ServiceOption = None,
    home: HomeOption = _HOME,
) -> None:
    """Remove a space that does not serve, with its vectors; one being built is given up."""
    with _index(service, home) as (index, credential):
        answer = index.DropSpace(
            pb.DropSpaceRequest(space=space), timeout=_SECONDS, metadata=credential
        )
    _Said(as_json=as_json)(f"{space} is being removed.", space=space, dropped=answer.dropped)


def spaces(
    as_json: JsonOption = False, service: ServiceOption = None, home: HomeOption = _HOME
) -> None:
    """List the spaces, the serving one first."""
    say = _Said(as_json=as_json)
    with _index(service, home) as (index, credential):
        answer = index.GetIndexStatus(
            pb.GetIndexStatusRequest(), timeout=_SECONDS, metadata=credential
        )
    for space in answer.spaces:
        say(
            f"[bold]{space.space}[/bold] {state_of(space)}: {space.indexed_items:,} indexed, "
            f"{space.pending_items:,} waiting, {space.failed_items:,} given up"
            + ("" if space.is_embeddable else "; not embedded by this replica"),
            **fields_of(space),
        )


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("reindex")(reindex)
    app.command("cut-over")(cut_over)
    app.command("roll-back")(roll_back)
    app.command("drop")(drop)
    app.command("spaces")(spaces)


def _to_the_end(
    name: str, watched: Iterator[pb.WatchReindexResponse]
) -> Iterator[pb.WatchReindexResponse]:
    """Each look; a service that stops ends them in good order, too: the building goes on later."""
    has_caught_up = False
    for one in watched:
        has_caught_up = one.caught_up
        yield one
    if not has_caught_up:
        raise Failure(
            f"the service stopped before {name} had caught up; it goes on when the service is back"
        )


def _show_progress(space: pb.Space, watched: Iterator[pb.WatchReindexResponse]) -> int:
    """How many items were given up in the end."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[speed]:,.0f}/s"), TimeRemainingColumn(),
    )  # fmt: skip
    failed = 0
    with Progress(*columns, console=Console()) as progress:
        bar = progress.add_task(space.space, total=None, speed=0.0)
        for one in watched:
            total = one.space.indexed_items + one.space.pending_items
            progress.update(
                bar, total=total, completed=one.space.indexed_items, speed=one.items_per_second
            )
            failed = one.space.failed_items
    return failed


def _progress(one: pb.WatchReindexResponse) -> dict[str, Any]:
    return {
        **fields_of(one.space),
        "items_per_second": round(one.items_per_second, 1),
        "caught_up": one.caught_up,
    }
