"""How a walk through the stores is shown: bars and tables at a terminal, JSON lines elsewhere."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Protocol

import orjson
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from gateway.answers.integrity import (
    FindingAnswer,
    GroundTruthAnswer,
    ProgressAnswer,
    RepairAnswer,
    SummaryAnswer,
)

_GOOD, _LATER, _BAD = "green", "yellow", "red"
_STYLES = {"GONE": "dim", "LEFT": _LATER, "MARKED_LOST": _BAD}


class Screen(Protocol):
    """Where a walk is shown."""

    def found(self, finding: FindingAnswer) -> None:
        """Show what does not fit."""

    def mended(self, repair: RepairAnswer) -> None:
        """Show what was done about it."""

    def advanced(self, progress: ProgressAnswer) -> None:
        """Show how far it is."""

    def ended(self, summary: SummaryAnswer, *, dry_run: bool) -> None:
        """Show what came of it."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class JsonLines:
    """One object a line, each with what it is as its only key; no progress."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdout.buffer

    def found(self, finding: FindingAnswer) -> None:
        """See Screen."""
        self._write({"finding": finding})

    def mended(self, repair: RepairAnswer) -> None:
        """See Screen."""
        self._write({"repair": repair})

    def advanced(self, progress: ProgressAnswer) -> None:
        """Nothing: lines are what a script is to act on."""

    def ended(self, summary: SummaryAnswer, *, dry_run: bool) -> None:
        """See Screen."""
        self._write({"summary": {**summary, "dry_run": dry_run}})

    def close(self) -> None:
        """See Screen."""

    def _write(self, line: Mapping[str, Any]) -> None:
        self._stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        self._stream.flush()


class Terminal:
    """A bar for each stage; what is found above them, and a table at the end."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._progress = Progress(
            TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), console=self._console, transient=True,
        )  # fmt: skip
        self._bars: dict[str, TaskID] = {}
        self._progress.start()

    def found(self, finding: FindingAnswer) -> None:
        """See Screen."""
        self._say(finding, "")

    def mended(self, repair: RepairAnswer) -> None:
        """See Screen."""
        self._say(repair["finding"], repair["action"])

    def advanced(self, progress: ProgressAnswer) -> None:
        """See Screen."""
        stage = progress["stage"]
        if stage not in self._bars:
            self._bars[stage] = self._progress.add_task(stage, total=None)
        self._progress.update(
            self._bars[stage], completed=progress["looked_at"],
            total=progress["estimated_total"] or None,
        )  # fmt: skip

    def ended(self, summary: SummaryAnswer, *, dry_run: bool) -> None:
        """See Screen."""
        self.close()
        looked_at = ", ".join(f"{count:,} {stage}" for stage, count in summary["looked_at"].items())
        if not summary["findings"]:
            self._console.print(Text(f"Everything fits: {looked_at}.", style=_GOOD))
            return
        table = Table(show_header=False, box=None, pad_edge=False)
        _add_rows(table, summary["findings"], _BAD)
        _add_rows(table, summary["actions"], _LATER if dry_run else _GOOD)
        self._console.print(Text(f"Looked at {looked_at}."))
        self._console.print(table)
        if dry_run:
            self._console.print(Text("Nothing was changed.", style=_LATER))

    def close(self) -> None:
        """See Screen."""
        self._progress.stop()

    def _say(self, finding: FindingAnswer, action: str) -> None:
        line = Text()
        line.append(f"{finding['kind']:<18} ", style=_BAD)
        line.append(_about(finding))
        line.append(f"  {finding['detail']}", style="dim")
        if action:
            line.append(f"  {action}", style=_STYLES.get(action, _GOOD))
        self._console.print(line, soft_wrap=True)


def show_truth(console: Console, truth: GroundTruthAnswer) -> None:
    """The three stores side by side."""
    table = Table("", "Postgres", "vectors", "files", box=None, pad_edge=False)
    item, document, file = truth["item"], truth["document"], truth["file"]
    row = item or document
    vectors = truth["vectors"]
    table.add_row(
        "there",
        "deleting" if truth["is_deleting"] else "yes" if row else
        f"deleted {truth['deleted_at']}" if truth["deleted_at"] else "no",
        ", ".join(f"{one['space']}: {'yes' if one['exists'] else 'no'}" for one in vectors) or
        f"{truth['chunk_vectors']} of {truth['chunk_rows']} pieces",
        ("yes" if file["exists"] else "no") if file else "-",
    )  # fmt: skip
    serving: Any = next((one for one in vectors if one["is_serving"]), {})
    table.add_row(
        "content",
        (serving.get("expected_content_hash") or (document or {}).get("sha256") or "-")[:16],
        (serving.get("content_hash") or "-")[:16],
        ((file and file["sha256"]) or "-")[:16],
    )  # fmt: skip
    for name in ("namespace", "subject_id", "group_id", "session_id", "occurred_at"):
        held = serving.get("fields") or {}
        table.add_row(name, str((row or {}).get(name) or "-"), str(held.get(name) or "-"), "-")
    state: Mapping[str, Any] = truth["queue"] or document or {}
    table.add_row("state", str(state.get("state") or "-"), "-", "-")
    console.print(table)
    for finding in truth["findings"]:
        console.print(Text(f"{finding['kind']}: {finding['detail']}", style=_BAD))
    if not truth["findings"]:
        console.print(Text("It fits together.", style=_GOOD))


def _add_rows(table: Table, counts: Mapping[str, int], style: str) -> None:
    for name, count in sorted(counts.items()):
        table.add_row(Text(name, style=style), f"{count:,}")


def _about(finding: FindingAnswer) -> str:
    names: Sequence[str | None] = (
        finding["knowledge_id"], finding["document_id"], finding["blob_key"],
    )  # fmt: skip
    return next((name for name in names if name), "-")
