"""`make bench`: Kith beside its floors, in one run; `ARGS="--json floors events"` to choose."""

import argparse
import json
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import uvloop
from rich.console import Console
from rich.table import Table

from bench import events, floors, identity, idle, kith, knowledge, log_plans, subscriptions
from bench.measure import Figures, Recall
from tests.support.up import RunningKith, kith_up


class Section(Protocol):
    """A part of what is measured: a module with `rows` and `RATIOS`."""

    # Pairs of what is measured and its floor, by their names; left out where one is not there.
    RATIOS: Sequence[tuple[str, str]]

    def rows(self, running: RunningKith) -> AsyncIterator[tuple[str, Figures | Recall]]:
        """Names and figures, in order."""
        ...


# In this order: the idle one first, since what was written before is still being flushed after.
SECTIONS: dict[str, Section] = {
    "idle": idle,
    "floors": floors,
    "identity": identity,
    "kith": kith,
    "events": events,
    "subscriptions": subscriptions,
    "plans": log_plans,
    "knowledge": knowledge,
}


async def measure(
    running: RunningKith, sections: Sequence[str], console: Console
) -> dict[str, Figures | Recall]:
    """All figures, by name, with a spinner at a terminal."""
    found: dict[str, Figures | Recall] = {}
    with console.status("measuring ..."):
        for section in sections:
            async for name, figures in SECTIONS[section].rows(running):
                found[name] = figures
                console.print(f"{name}: {figures}", style="dim", highlight=False)
    return found


def show(every: dict[str, Figures | Recall], console: Console) -> None:
    """The table, and the ratios to the floors."""
    found = {name: one for name, one in every.items() if isinstance(one, Figures)}
    table = Table("", "per second", "p50 ms", "p99 ms", title="Kith beside its floors")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, f in found.items():
        table.add_row(name, f"{f.per_second:,.0f}", f"{f.p50:.2f}", f"{f.p99:.2f}")
    console.print(table)
    for name, one in every.items():
        if isinstance(one, Recall):
            console.print(f"{name}: {one}", highlight=False)
    for name, floor in (ratio for section in SECTIONS.values() for ratio in section.RATIOS):
        if name in found and floor in found:
            ratio = found[name].per_second / found[floor].per_second
            console.print(f"{name} : {floor} = {ratio:.2f}", highlight=False)


def main() -> None:
    """Start a Kith of our own, measure it, stop it."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; else all")
    arguments = parser.parse_args()
    sections = arguments.sections or list(SECTIONS)
    if unknown := set(sections) - SECTIONS.keys():
        parser.error(f"there is no section {', '.join(unknown)}")
    console = Console(stderr=arguments.json)
    with tempfile.TemporaryDirectory(prefix="kith-bench-") as folder:
        console.print("starting a Kith to measure ...", style="dim")
        with kith_up(Path(folder) / "home") as running:
            found = uvloop.run(measure(running, sections, console))
    if arguments.json:
        print(json.dumps({name: asdict(figures) for name, figures in found.items()}))
    else:
        show(found, console)


if __name__ == "__main__":
    main()
