"""`kith knowledge dead-letters`."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kith.knowledge.v1 import index_service_pb2 as pb
from kith.knowledge.v1.index_service_pb2_grpc import IndexServiceStub
from kithctl.failure import Failure
from kithctl.knowledge.target import JsonOption, ServiceOption, open_knowledge
from kithctl.target import HomeOption

# Replaying a hundred thousand takes some seconds.
_SECONDS = 300.0
_PAGE = 500
_MOST_IDS = 1_000
_MOST_SHOWN = 50

Call = Callable[..., Any]


def dead_letters(
    replay: Annotated[
        bool, typer.Option("--replay", help="Have the indexer try them again.")
    ] = False,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Only this item; may be repeated.")
    ] = None,
    namespaces: Annotated[
        list[str] | None,
        typer.Option("--namespace", help="Only of this namespace; may be repeated."),
    ] = None,
    as_json: JsonOption = False,
    service: ServiceOption = None,
    home: HomeOption = Path(".kith"),
) -> None:
    """List the items that the indexer gave up, with the reasons, or have it try them again.

    Exit status 0, whether there are any or not.
    """
    if ids and namespaces:
        raise Failure("--id and --namespace cannot be combined")
    if ids and not replay:
        raise Failure("--id needs --replay")
    with open_knowledge(service, home) as (channel, credential):
        stub = IndexServiceStub(channel)

        def call(method: Call, request: Any) -> Any:
            return method(request, timeout=_SECONDS, metadata=credential)

        if replay:
            replayed = _replayed(stub, call, ids or [], namespaces or [])
            _tell_replayed(replayed, as_json=as_json)
        else:
            _tell_letters(_letters(stub, call, namespaces or []), as_json=as_json)


def _letters(
    stub: IndexServiceStub, call: Call, namespaces: list[str]
) -> Iterator[tuple[pb.DeadLetter, int]]:
    """Each letter, and how many there are in all."""
    token = ""
    while True:
        page = call(
            stub.ListDeadLetters,
            pb.ListDeadLettersRequest(namespaces=namespaces, page_size=_PAGE, page_token=token),
        )
        for letter in page.dead_letters:
            yield letter, page.total
        token = page.next_page_token
        if not token:
            return


def _replayed(stub: IndexServiceStub, call: Call, ids: list[str], namespaces: list[str]) -> int:
    if not ids and not namespaces:
        everything = pb.ReplayDeadLettersRequest(all=True)
        return int(call(stub.ReplayDeadLetters, everything).replayed)
    # All are listed before the first is tried again.
    chosen = ids or [letter.knowledge_id for letter, _ in _letters(stub, call, namespaces)]
    return sum(
        int(call(stub.ReplayDeadLetters, pb.ReplayDeadLettersRequest(knowledge_ids=some)).replayed)
        for some in _parts(chosen)
    )


def _parts(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _MOST_IDS):
        yield ids[start : start + _MOST_IDS]


def _tell_replayed(replayed: int, *, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        typer.echo(json.dumps({"replayed": replayed}))
    else:
        Console(highlight=False).print(f"[bold]{replayed:,}[/bold] are tried again")


def _tell_letters(letters: Iterator[tuple[pb.DeadLetter, int]], *, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        for letter, _ in letters:
            typer.echo(json.dumps(_fields(letter), ensure_ascii=False))
        return
    console = Console(highlight=False)
    table = Table("given up", "namespace", "item", "tries", "why", box=None, header_style="bold")
    total = 0
    for number, (letter, total) in enumerate(letters):  # noqa: B007 - the last total counts
        if number == _MOST_SHOWN:
            break
        table.add_row(
            letter.failed_at.ToDatetime().isoformat(" ", "seconds"), letter.namespace,
            letter.knowledge_id, str(letter.attempts), Text(letter.error),
        )  # fmt: skip
    if not total:
        console.print("Nothing was given up.", style="green")
        return
    console.print(table)
    if total > _MOST_SHOWN:
        console.print(f"… and {total - _MOST_SHOWN:,} more; --json lists all of them")


def _fields(letter: pb.DeadLetter) -> dict[str, Any]:
    return {
        "knowledge_id": letter.knowledge_id,
        "namespace": letter.namespace,
        "error": letter.error,
        "attempts": letter.attempts,
        "failed_at": letter.failed_at.ToJsonString(),
        "pending_since": letter.pending_since.ToJsonString(),
        "space": letter.space,
    }
