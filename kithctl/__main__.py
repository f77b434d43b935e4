"""The command `kith`."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Annotated

import structlog
import typer

from kithctl import schema
from kithctl.demo.command import demo
from kithctl.erasing.command import erase
from kithctl.events.command import app as events
from kithctl.exporting.command import export
from kithctl.failure import Failure
from kithctl.importing.command import import_
from kithctl.integrity.command import ground_truth, repair, verify
from kithctl.knowledge.command import app as knowledge
from kithctl.stack import Plan
from kithctl.tail.command import tail
from kithctl.up import up

app = typer.Typer(
    name="kith",
    help="Know your people across platforms.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _configure() -> None:
    """Know your people across platforms."""
    # What the services' own code logs in this process is for their logs, not for a terminal.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


@app.command("up")
def up_command(
    home: Annotated[
        Path, typer.Option(envvar="KITH_HOME", help="The folder for everything local.")
    ] = Path(".kith"),
    ports: Annotated[
        int | None,
        typer.Option(
            envvar="KITH_PORTS",
            min=0,
            max=65000,
            help="0: let the system choose every port. Else: the gateway's; the others follow.",
        ),
    ] = None,
) -> None:
    """Start everything on an embedded Postgres; Ctrl-C stops it."""
    asyncio.run(up(home.resolve(), Plan(first_port=ports)))


@app.command("schema")
def schema_command(
    check: Annotated[
        bool, typer.Option("--check", help="Only report the versions; fails if one is behind.")
    ] = False,
) -> None:
    """Bring the schemas in the database of KITH_DATABASE_URL up to date."""
    url = os.environ.get("KITH_DATABASE_URL")
    if not url:
        raise Failure("KITH_DATABASE_URL: is needed, with a role that may create roles and schemas")
    if check:
        asyncio.run(_report(url))
        return
    for name, version in asyncio.run(schema.migrate_all(url)).items():
        typer.echo(f"{name} is at version {version}")


async def _report(url: str) -> None:
    behind = []
    async for name, installed, needed in schema.versions(url):
        typer.echo(f"{name} is at version {installed} of {needed}")
        if installed < needed:
            behind.append(name)
    if behind:
        raise Failure(f"behind: {', '.join(behind)}; run `kith schema`")


app.command("import")(import_)
app.command("demo")(demo)
app.add_typer(events)
app.add_typer(knowledge)
app.command("tail")(tail)
app.command("verify")(verify)
app.command("repair")(repair)
app.command("ground-truth")(ground_truth)
app.command("erase")(erase)
app.command("export")(export)


def main() -> None:
    """Run the command; what the person can put right is one line, not a traceback."""
    try:
        app()
    except Failure as failure:
        typer.echo(f"kith: {failure}", err=True)
        raise SystemExit(failure.exit_status) from None


if __name__ == "__main__":
    main()
