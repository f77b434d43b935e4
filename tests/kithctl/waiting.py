"""Waiting for what comes about by itself."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path


async def eventually(condition: Callable[[], bool], within: float = 30.0) -> None:
    """Return once the condition holds; fail if it takes too long."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and unreaped does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")
