"""One running `kith up` for each KITH_HOME, and where it says what runs."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from kithctl.failure import Failure
from kithctl.files import read_if_there, write_atomically


class Claim:
    """The home is ours, for as long as the lock is held."""

    def __init__(self, home: Path) -> None:
        self._addresses = home / "addresses.json"

    def publish(self, running: dict[str, Any]) -> None:
        """Say what runs and where, in `addresses.json`."""
        write_atomically(self._addresses, json.dumps(running, indent=2) + "\n")

    def withdraw(self) -> None:
        """Say that nothing runs any more."""
        self._addresses.unlink(missing_ok=True)


@contextlib.contextmanager
def claim(home: Path) -> Iterator[Claim]:
    """Have a home to oneself; where another process has it, that one is named and nothing done."""
    with _opened(home / "lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(_who_runs(home)) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        ours = Claim(home)
        ours.withdraw()  # what a killed one has left
        try:
            yield ours
        finally:
            ours.withdraw()
            lock.truncate(0)


def _opened(lock: Path) -> TextIO:
    try:
        return lock.open("a+", encoding="utf-8")
    except OSError as error:
        raise Failure(f"cannot use the folder {lock.parent}: {error.strerror}") from error


def _who_runs(home: Path) -> str:
    pid = read_if_there(home / "lock") or "unknown"
    published = read_if_there(home / "addresses.json")
    if published is None:
        return f"kith is already starting in {home} (pid {pid})"
    processes: dict[str, dict[str, Any]] = json.loads(published)["processes"]
    addresses = ", ".join(
        f"{name} {process['address']}"
        for name, process in processes.items()
        if process.get("address")
    )
    return f"kith is already running in {home} (pid {pid}): {addresses}"
