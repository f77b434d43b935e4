"""What a killed start may have left running: the Postgres that it had started.

A server whose parent is killed shuts down by itself, which takes a moment; one that is killed
leaves its pid file, whose number may since belong to another process.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from kithctl.failure import Failure

_POLL = 0.05


async def settle(data: Path, patience: float) -> Mapping[str, str]:
    """Wait until no server runs on these files; what it returns belongs in the next one's
    environment. Nobody else may be serving them on purpose.
    """
    pid = _recorded(data)
    if pid is None:
        return {}
    deadline = time.monotonic() + patience
    if _serves(pid, data):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGINT)
    while _serves(pid, data):
        if time.monotonic() > deadline:
            raise Failure(
                f"an earlier Postgres (pid {pid}) is still shutting down after {patience:.0f} s: "
                f"wait for it to finish, or end it with `kill -QUIT {pid}`"
            )
        await asyncio.sleep(_POLL)
    # Postgres refuses to start where the recorded process is alive, whatever it is. Here it is
    # not a server; this says so, and leaves the check for forgotten backends in force.
    return {"PG_GRANDPARENT_PID": str(pid)}


def _recorded(data: Path) -> int | None:
    try:
        return abs(int((data / "postmaster.pid").read_text().split("\n", 1)[0]))
    except (FileNotFoundError, ValueError):
        return None


def _serves(pid: int, data: Path) -> bool:
    """Whether that process is a server on these files, by its command line: its working folder
    would say as much, but root in a container may not ask for that of another user's process.
    """
    if sys.platform != "linux":
        listed = subprocess.run(
            ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return "postgres" in listed.stdout and str(data) in listed.stdout
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return Path(os.fsdecode(words[0])).name == "postgres" and os.fsencode(data) in words
