"""Runs the command `kith` as a person would, in a process of its own."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Finished(NamedTuple):
    """What a command has said, and how it ended."""

    status: int
    output: str
    errors: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The output as JSON lines."""
        # Not by splitlines, which takes some characters of texts for ends of lines.
        return [json.loads(line) for line in self.output.split("\n") if line]

    @property
    def summary(self) -> dict[str, Any]:
        """The last of its lines."""
        return self.lines[-1]


async def kith(*arguments: object, home: Path, **environment: str) -> Finished:
    """Run `kith`; its environment has nothing of ours but what is given."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KITH_", "SUPABASE_"))
    }
    finished = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "kithctl", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env={**inherited, "KITH_HOME": str(home), "COLUMNS": "120", **environment},
    )
    return Finished(finished.returncode, finished.stdout, finished.stderr)
