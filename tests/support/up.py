"""A whole Kith under `kith up`, in processes of its own, for system tests and benchmarks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")

START_SECONDS = 120.0


class RunningKith:
    """A `kith up` on ports of the system's choosing."""

    def __init__(self, process: subprocess.Popen[bytes], home: Path, log: Path) -> None:
        self.process = process
        self.home = home
        self._log = log

    @property
    def addresses(self) -> dict[str, Any]:
        """What runs where, as `kith up` last wrote it; empty before it is up."""
        try:
            found: dict[str, Any] = json.loads((self.home / "addresses.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return found

    @property
    def gateway(self) -> str:
        """The gateway's URL."""
        return f"http://{self.address('gateway')}"

    def address(self, name: str) -> str:
        """Where a process listens."""
        return str(self.addresses["processes"][name]["address"])

    def pid(self, name: str) -> int:
        """The process id that a process has now; 0 between two lives."""
        return int(self.addresses["processes"][name]["pid"] or 0)

    def kill(self, name: str) -> int:
        """Kill a process without a warning; answers the pid that it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def log(self) -> str:
        """What all processes have said so far."""
        return self._log.read_text(errors="replace")

    def wait_until_up(self) -> None:
        """Return when everything is healthy; raises with the log if that does not come."""

        def is_up() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"kith up ended by itself:\n{self.log()[-5000:]}")
            return bool(self.addresses) and self._answers()

        try:
            wait_until(is_up, seconds=START_SECONDS)
        except TimeoutError:
            raise AssertionError(f"kith did not come up:\n{self.log()[-5000:]}") from None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.gateway}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        """Stop it as a service manager would; answers its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def kith_up(home: Path, environment: Mapping[str, str] | None = None) -> Iterator[RunningKith]:
    """`kith up` in `home`, up when the block starts and gone when it ends."""
    log = home.with_name(f"{home.name}.log")
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("KITH_", "SUPABASE_"))}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "kithctl", "up", "--ports", "0", "--home", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**variables, **(environment or {})},
        )
    running = RunningKith(process, home, log)
    try:
        running.wait_until_up()
        yield running
    finally:
        if process.poll() is None:
            running.stop()


def wait_until(condition: Callable[[], bool], *, seconds: float) -> None:
    """Return as soon as a condition holds; raises TimeoutError if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
