"""`make bench`: Kith beside its floors, in one run; `ARGS=--json` for a machine."""

import argparse
import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import floors, kith, subscriptions
from bench.measure import Figures
from tests.support.up import RunningKith, kith_up

CALLERS = (1, 16, 64)
BATCH = 1000


async def rows(running: RunningKith) -> AsyncIterator[tuple[str, Figures]]:
    """Everything that is measured, in order."""
    # First of all: what was written before is still being flushed after.
    yield "POST /v1/messages, idle, 1 at a time", await kith.idle_message(running.gateway)
    for callers in CALLERS:
        yield f"floor: empty RPC, {callers} callers", await floors.echo(callers)
    async for name, found in floors.database(running.addresses["database_url"]):
        yield f"floor: {name}", found
    for callers in CALLERS:
        yield (
            f"POST /v1/messages, {callers} callers (wrk)",
            await kith.messages(running.gateway, callers),
        )
    for callers in CALLERS:
        yield (
            f"ResolveIdentity, {callers} callers",
            await kith.resolves(running.address("identity"), callers),
        )
    for callers in CALLERS:
        yield f"LogEvent, {callers} callers", await kith.appends(running.address("event"), callers)
    yield (
        f"BatchLogEvents of {BATCH}, 2 callers (rows)",
        await kith.batch_appends(running.address("event"), BATCH),
    )
    async for name, found in kith.searches(running.address("knowledge")):
        yield name, found
    async for name, found in subscriptions.rows(running.address("event")):
        yield name, found


RATIOS = (
    ("LogEvent, 64 callers", "floor: empty RPC, 64 callers"),
    ("ResolveIdentity, 64 callers", "floor: empty RPC, 64 callers"),
    (
        f"BatchLogEvents of {BATCH}, 2 callers (rows)",
        "floor: asyncpg insert, 1000 rows, 1 caller (rows)",
    ),
    ("POST /v1/messages, 64 callers (wrk)", "floor: empty RPC, 64 callers"),
)


async def measure(running: RunningKith, console: Console) -> dict[str, Figures]:
    """All figures, by name, with a spinner at a terminal."""
    found: dict[str, Figures] = {}
    with console.status("measuring ..."):
        async for name, figures in rows(running):
            found[name] = figures
            console.print(f"{name}: {figures.per_second:,.0f}/s", style="dim", highlight=False)
    return found


def show(found: dict[str, Figures], console: Console) -> None:
    """The table, and the ratios to the floors."""
    table = Table("", "per second", "p50 ms", "p99 ms", title="Kith beside its floors")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, f in found.items():
        table.add_row(name, f"{f.per_second:,.0f}", f"{f.p50:.2f}", f"{f.p99:.2f}")
    console.print(table)
    for name, floor in RATIOS:
        ratio = found[name].per_second / found[floor].per_second
        console.print(f"{name} : {floor} = {ratio:.2f}", highlight=False)


def main() -> None:
    """Start a Kith of our own, measure it, stop it."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    console = Console(stderr=arguments.json)
    with tempfile.TemporaryDirectory(prefix="kith-bench-") as folder:
        console.print("starting a Kith to measure ...", style="dim")
        with kith_up(Path(folder) / "home", {"KITH_LOG_LEVEL": "warning"}) as running:
            found = asyncio.run(measure(running, console))
    if arguments.json:
        print(json.dumps({name: asdict(figures) for name, figures in found.items()}))
    else:
        show(found, console)


if __name__ == "__main__":
    main()
