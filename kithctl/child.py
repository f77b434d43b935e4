"""One process that this one has started, and that does not outlive it."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

_TETHER = str(Path(__file__).with_name("tether.py"))

Ending = tuple[tuple[signal.Signals, float], ...]
"""The signals that end a process, and how long to wait after each for it to be gone."""


@dataclass(frozen=True)
class Command:
    """What to run, and how it ends."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    folder: Path | None = None
    user: str | None = None
    """Whom to run as, where that is another user; only root can."""
    ending: Ending = ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0))
    orphaned: signal.Signals = signal.SIGKILL
    """What it gets when this process is gone."""
    forced: signal.Signals = signal.SIGKILL
    """What it gets when the person at the terminal will not wait."""


class Child:
    """A running process: direct, reaped, in a session of its own so that Ctrl-C passes it by.

    The thread that starts it has to live as long as the child may: the kernel takes the end of that
    thread for the end of the parent. In practice that is the main thread.
    """

    def __init__(self, process: asyncio.subprocess.Process, command: Command) -> None:
        self._process = process
        self._command = command

    @classmethod
    async def start(cls, command: Command, output: int | IO[bytes]) -> "Child":
        """Start the command, its standard output and error going to `output`."""
        tether = (
            *(sys.executable, "-I", "-S", _TETHER),
            *(str(os.getpid()), str(int(command.orphaned)), command.user or "-"),
        )
        process = await asyncio.create_subprocess_exec(
            *tether,
            *command.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=command.folder,
            env=dict(command.environment),
            start_new_session=True,
        )
        return cls(process, command)

    @property
    def pid(self) -> int:
        """The number that the machine knows it by."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """As the shell has it, negative for a signal; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait until it has ended and been reaped."""
        return await self._process.wait()

    async def alive_through(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do something that needs the process; False if it ended before that was done."""
        working = asyncio.ensure_future(work)
        ending = asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait((working, ending), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                return False
            await working
            return True
        finally:
            for task in (working, ending):
                task.cancel()
            await asyncio.gather(working, ending, return_exceptions=True)

    async def stop(self) -> int:
        """End it, ever less politely."""
        for number, patience in self._command.ending:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(self._process.wait(), patience)
        raise TimeoutError(f"process {self.pid} survives every signal")

    def force(self) -> None:
        """End it at once; `stop` then has nothing left to wait for."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(self._command.forced)


def describe_exit(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exited with status {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
