"""`kith verify`, `kith repair` and `kith ground-truth`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated

import grpc
import orjson
import typer
from rich.console import Console

from gateway.rendering import integrity as rendering
from kith.knowledge.v1 import integrity_service_pb2 as pb
from kithctl.failure import Failure
from kithctl.integrity.screens import JsonLines, Screen, Terminal, show_truth
from kithctl.integrity.target import UNREACHABLE, open_integrity
from kithctl.knowledge.target import ServiceOption
from kithctl.target import HomeOption

# What a repair cannot mend, or not yet.
_LEFT = ("LEFT", "MARKED_LOST")

Kind = Enum("Kind", {name: name for name in rendering.KINDS})  # type: ignore[misc]

ReadFilesOption = Annotated[
    bool,
    typer.Option("--read-files", help="Read each file and take its checksum, not its size alone."),
]
NamespaceOption = Annotated[
    list[str] | None, typer.Option("--namespace", help="Only on this shelf; repeatable.")
]
GraceOption = Annotated[
    int,
    typer.Option(
        "--grace", min=1, max=604_800, metavar="SECONDS",
        help="After so long what waits is stuck, and what is unknown an orphan.",
    ),
]  # fmt: skip
JsonOption = Annotated[bool, typer.Option("--json", help="Lines of JSON also at a terminal.")]


def verify(
    read_files: ReadFilesOption = False,
    namespace: NamespaceOption = None,
    grace: GraceOption = 300,
    as_json: JsonOption = False,
    service: ServiceOption = None,
    home: HomeOption = Path(".kith"),
) -> None:
    """Compare rows, vectors and files both ways; the status is 1 if something does not fit."""
    census = _census(read_files, namespace, grace)
    with _shown(as_json) as screen, open_integrity(service, home) as (stub, credential):
        for part in stub.VerifyIntegrity(census, metadata=credential):
            match part.WhichOneof("part"):
                case "finding":
                    screen.found(rendering.finding(part.finding))
                case "progress":
                    screen.advanced(rendering.progress(part.progress))
                case "summary":
                    summary = rendering.summary(part.summary)
                    screen.ended(summary, dry_run=False)
                    raise typer.Exit(1 if summary["findings"] else 0)
    raise Failure("the walk ended before its end", exit_status=UNREACHABLE)


def repair(
    read_files: ReadFilesOption = False,
    namespace: NamespaceOption = None,
    kind: Annotated[
        list[Kind] | None,
        typer.Option(case_sensitive=False, help="Only findings of this kind; repeatable."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be done.")
    ] = False,
    grace: GraceOption = 300,
    as_json: JsonOption = False,
    service: ServiceOption = None,
    home: HomeOption = Path(".kith"),
) -> None:
    """Mend what does not fit, beside live writers; the status is 1 if something is left."""
    request = pb.RepairIntegrityRequest(
        census=_census(read_files, namespace, grace),
        kinds=[rendering.KINDS[one.value] for one in kind or ()],
        dry_run=dry_run,
    )
    with _shown(as_json) as screen, open_integrity(service, home) as (stub, credential):
        for part in stub.RepairIntegrity(request, metadata=credential):
            match part.WhichOneof("part"):
                case "repair":
                    screen.mended(rendering.repair(part.repair))
                case "progress":
                    screen.advanced(rendering.progress(part.progress))
                case "summary":
                    summary = rendering.summary(part.summary)
                    screen.ended(summary, dry_run=dry_run)
                    is_left = any(summary["actions"].get(action) for action in _LEFT)
                    raise typer.Exit(1 if is_left or (dry_run and summary["findings"]) else 0)
    raise Failure("the walk ended before its end", exit_status=UNREACHABLE)


def ground_truth(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="An item or a document.")],
    as_json: JsonOption = False,
    service: ServiceOption = None,
    home: HomeOption = Path(".kith"),
) -> None:
    """Show what each store holds of one item or document; the status is 1 if it does not fit."""
    with open_integrity(service, home) as (stub, credential):
        try:
            answer = stub.GetGroundTruth(
                pb.GetGroundTruthRequest(id=identifier), metadata=credential
            )
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise Failure(f"no store holds anything of {identifier}") from None
            raise
    truth = rendering.ground_truth(answer)
    if as_json or not sys.stdout.isatty():
        sys.stdout.buffer.write(orjson.dumps(truth, option=orjson.OPT_APPEND_NEWLINE))
    else:
        show_truth(Console(highlight=False), truth)
    raise typer.Exit(1 if truth["findings"] else 0)


def _census(
    read_files: bool, namespaces: list[str] | None, grace_seconds: int
) -> pb.VerifyIntegrityRequest:
    return pb.VerifyIntegrityRequest(
        read_files=read_files, namespaces=namespaces or (), grace_seconds=grace_seconds
    )


@contextmanager
def _shown(as_json: bool) -> Iterator[Screen]:
    screen: Screen = JsonLines() if as_json or not sys.stdout.isatty() else Terminal()
    try:
        yield screen
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # Whoever read has had enough; Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(UNREACHABLE) from None
    finally:
        screen.close()
