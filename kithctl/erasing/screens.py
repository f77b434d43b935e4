"""How an erasure is shown: steps as they are done and a table, or the receipt as JSON."""

import sys
from typing import Any, Protocol, Self

import orjson
from rich.console import Console
from rich.status import Status
from rich.table import Table

STAGES = ("knowledge", "events", "identity")


class Screen(Protocol):
    """What a person, or a program, is shown."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def pausing(self, seconds: float, why: str) -> None:
        """A call is tried again after a while."""
        ...

    def progress(self, erasure: dict[str, Any]) -> None:
        """How far it is."""
        ...

    def finished(self, erasure: dict[str, Any]) -> None:
        """What came of it."""
        ...


class JsonScreen:
    """The receipt on stdout, and nothing else."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to put away."""

    def pausing(self, seconds: float, why: str) -> None:
        print(f"again in {seconds:.1f} s: {why}", file=sys.stderr)  # noqa: T201

    def progress(self, erasure: dict[str, Any]) -> None:
        """A program reads the receipt."""

    def finished(self, erasure: dict[str, Any]) -> None:
        sys.stdout.buffer.write(orjson.dumps(erasure, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.flush()


class TerminalScreen:
    """A line for each step, then what was erased, what is left, and what cannot be forced."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._status = Status("recording it", console=self._console)
        self._shown = 0

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def pausing(self, seconds: float, why: str) -> None:
        self._status.update(f"again in {seconds:.1f} s: {why}")

    def progress(self, erasure: dict[str, Any]) -> None:
        steps = erasure["steps"]
        for step in steps[self._shown :]:
            self._console.print(f"[green]done[/green]  {step['stage']}")
        self._shown = len(steps)
        if self._shown < len(STAGES):
            self._status.update(f"erasing {STAGES[self._shown]}")

    def finished(self, erasure: dict[str, Any]) -> None:
        table = Table("", "erased", "left", box=None, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        for step in erasure["steps"]:
            for kind in sorted({*step["erased"], *step["remaining"]}):
                number = step["erased"].get(kind, 0)
                table.add_row(kind, f"{number:,}", f"{step['remaining'].get(kind, 0):,}")
        self._console.print(table)
        for caveat in erasure["caveats"]:
            self._console.print(f"[yellow]{caveat['about']}[/yellow]: {caveat['detail']}")
        is_done = erasure["state"] == "succeeded"
        style, said = ("bold green", "erased") if is_done else ("bold yellow", "still going on")
        self._console.print(f"[{style}]{said}[/{style}], receipt {erasure['erasure_id']}")
