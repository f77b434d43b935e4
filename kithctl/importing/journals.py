"""How an import tells what it does: a progress bar at a terminal, lines of JSON anywhere else."""

import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO, Self

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from kithctl.importing.tally import Tally

_SECONDS_BETWEEN_LINES = 1.0
_MOST_FAILURES_SHOWN = 20


class JsonJournal:
    """One object a line on stdout; its `event` says what it is."""

    def __init__(self, unit: str, size: int, position: Callable[[], int],
                 stream: BinaryIO | None = None) -> None:  # fmt: skip
        self._unit = unit
        self._size = size
        self._position = position
        self._stream = stream or sys.stdout.buffer
        self._started = self._said = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to put away."""

    def progress(self, tally: Tally) -> None:
        """Say how far it is, now and then."""
        now = time.monotonic()
        if now - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = now
            done = round(self._position() / self._size, 3) if self._size else None
            self._say("progress", done=done, **self._counts(tally))

    def pausing(self, seconds: float, why: str) -> None:
        """Say that a call is tried again after a while."""
        self._say("pausing", seconds=round(seconds, 2), why=why)

    def failed(self, place: int, why: str) -> None:
        """Say which message was left out."""
        self._say("failed", **{self._unit: place}, why=why)

    def finished(self, tally: Tally, stopped_by: str | None) -> None:
        """Say what came of it."""
        self._say("summary", complete=stopped_by is None, why=stopped_by, **self._counts(tally))

    def _counts(self, tally: Tally) -> dict[str, Any]:
        seconds = time.monotonic() - self._started
        return {
            **tally.as_dict(),
            f"last_{self._unit}": tally.reached,
            "seconds": round(seconds, 2),
            "per_second": round(tally.sent / seconds) if seconds else 0,
        }

    def _say(self, event: str, **values: Any) -> None:
        self._stream.write(
            orjson.dumps({"event": event, **values}, option=orjson.OPT_APPEND_NEWLINE)
        )
        self._stream.flush()


class TerminalJournal:
    """A bar with messages, rate and the time left; problems above it; a summary at the end."""

    def __init__(self, unit: str, size: int, position: Callable[[], int],
                 console: Console | None = None) -> None:  # fmt: skip
        self._unit = unit
        self._position = position
        self._console = console or Console()
        self._failures = 0
        self._started = time.monotonic()
        self._progress = Progress(
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[messages]:,} messages"),
            TextColumn("{task.fields[rate]:,.0f}/s", style="cyan"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="yellow"),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=size or None, messages=0, rate=0, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def progress(self, tally: Tally) -> None:
        """Move the bar."""
        self._progress.update(
            self._task, completed=self._position(), messages=tally.sent, note="",
            rate=tally.sent / max(time.monotonic() - self._started, 1e-3),
        )  # fmt: skip

    def pausing(self, seconds: float, why: str) -> None:
        """Say beside the bar that a call is tried again after a while."""
        self._progress.update(self._task, note=f"again in {seconds:.1f} s: {why}")

    def failed(self, place: int, why: str) -> None:
        """Say above the bar which message was left out; of very many, only the first."""
        self._failures += 1
        if self._failures <= _MOST_FAILURES_SHOWN:
            self._print(f"{self._unit} {place}: {why}", "red")
        if self._failures == _MOST_FAILURES_SHOWN:
            self._print("further ones are only counted; --json names them all", "red")

    def finished(self, tally: Tally, stopped_by: str | None) -> None:
        """Print what came of it."""
        self._progress.stop()
        seconds = time.monotonic() - self._started
        for line in _summary(tally, seconds):
            self._print(line)
        if stopped_by is not None:
            self._print(f"stopped: {stopped_by}", "bold red")

    def _print(self, line: str, style: str | None = None) -> None:
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _summary(tally: Tally, seconds: float) -> list[str]:
    rate = tally.sent / seconds if seconds else 0
    lines = [
        f"{tally.sent:,} messages sent in {seconds:.1f} s ({rate:,.0f}/s): "
        f"{tally.new:,} new, {tally.duplicates:,} there already",
        f"{tally.knowledge['stored']:,} stored as knowledge, "
        f"{tally.knowledge['deferred']:,} to follow",
    ]
    for what, counts in (("skipped", tally.skipped), ("failed", tally.failed)):
        if counts:
            reasons = ", ".join(f"{count:,} {why}" for why, count in counts.most_common())
            lines.append(f"{counts.total():,} {what}: {reasons}")
    return lines
