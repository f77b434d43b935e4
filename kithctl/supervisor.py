"""Keeps processes running: starts them, starts them again when they die, and ends them in order.

A process is *ready* when it answers; one that dies again and again before it ever was ready is not
going to be, and its last lines say why. After that it is started again for as long as we run.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kithctl.child import Child, Command, describe_exit
from kithctl.failure import Failure
from kithctl.output import Output

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_LONG_ENOUGH_UP = 10.0
_LAST_OUTPUT_PATIENCE = 1.0


@dataclass(frozen=True)
class ProcessSpec:
    """A process to keep running."""

    name: str
    command: Callable[[], Awaitable[Command]]
    """Asked before each start, since what a restart needs (a port) is known by then."""
    wait_until_ready: Callable[[], Awaitable[None]]
    """Returns when the process answers; need not notice that it has died."""
    attempts: int = 3
    """How often it may die before it has ever been ready."""


class Supervisor:
    """A set of running processes; `changed` is called whenever one has become ready."""

    def __init__(self, output: Output, changed: Callable[[], None] = lambda: None) -> None:
        self._output = output
        self._changed = changed
        self._groups: list[list[_Keeper]] = []
        self._forced = False

    @property
    def pids(self) -> dict[str, int]:
        """The processes running now, by name."""
        keepers = [keeper for group in self._groups for keeper in group]
        return {keeper.name: keeper.child.pid for keeper in keepers if keeper.child is not None}

    async def start(self, *specs: ProcessSpec) -> None:
        """Start processes together, and return when all are ready.

        Raises Failure, with the last lines of the process, if one cannot be.
        """
        group = [_Keeper(spec, self._output, self._changed) for spec in specs]
        self._groups.append(group)
        for keeper in group:
            keeper.begin()
        await asyncio.gather(*(keeper.ready() for keeper in group))

    async def stop(self) -> None:
        """End every process, those started last first."""
        while self._groups:
            group = self._groups[-1]
            await asyncio.gather(*(keeper.stop() for keeper in group))
            self._groups.pop()
            if self._forced:
                self.force()

    def force(self) -> None:
        """End every process now."""
        self._forced = True
        for group in self._groups:
            for keeper in group:
                keeper.force()


class _Keeper:
    """Keeps one process running."""

    def __init__(self, spec: ProcessSpec, output: Output, changed: Callable[[], None]) -> None:
        self.child: Child | None = None
        self.name = spec.name
        self._spec = spec
        self._output = output
        self._changed = changed
        self._first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Nobody may be waiting any more; then nobody misses the exception either.
        self._first_ready.add_done_callback(lambda it: it.cancelled() or it.exception())
        self._run: asyncio.Task[None] | None = None
        self._is_forced = False
        self._pumps: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Start keeping it."""
        self._run = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def ready(self) -> None:
        """Wait until it has been ready for the first time."""
        await asyncio.shield(self._first_ready)

    async def stop(self) -> None:
        """Stop keeping it, and end it."""
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)
        self._first_ready.cancel()
        await self._end()

    def force(self) -> None:
        """End it now, and do not start it again."""
        self._is_forced = True
        if self.child is not None:
            self.child.force()

    async def _keep(self) -> None:
        try:
            await self._keep_running()
        except Exception as error:  # noqa: BLE001 - whoever waits for it is told, whatever it is
            if self._first_ready.done():
                self._output.say(f"{self.name} cannot be kept running: {error}")
            else:
                self._first_ready.set_exception(error)

    async def _keep_running(self) -> None:
        deaths = 0
        pause = _FIRST_PAUSE
        while not self._is_forced:
            started = time.monotonic()
            try:
                how = await self._live()
            except Exception as error:
                if not self._first_ready.done():
                    raise
                how = f"does not answer: {error}"
                await self._end()
            if self._is_forced:
                return
            if not self._first_ready.done():
                deaths += 1
                if deaths >= self._spec.attempts:
                    raise Failure(f"{self.name} {how}{self._last_words()}")
            if time.monotonic() - started > _LONG_ENOUGH_UP:
                pause = _FIRST_PAUSE
            self._output.say(f"{self.name} {how}; starting it again in {pause:.1f} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _live(self) -> str:
        """One life of the process; says how it ended."""
        self._output.forget(self.name)
        child = self.child = await self._start()
        if self._is_forced:
            child.force()
        await child.alive_through(self._become_ready())
        how = describe_exit(await child.wait())
        await self._end()
        return how

    async def _end(self) -> None:
        """Make sure that it has ended, and read what it has left in its pipe."""
        if self.child is not None:
            await self.child.stop()
            self.child = None
        await self._finish_output()

    async def _become_ready(self) -> None:
        await self._spec.wait_until_ready()
        if not self._first_ready.done():
            self._first_ready.set_result(None)
        else:
            self._output.say(f"{self.name} is back")
        self._changed()

    async def _start(self) -> Child:
        command = await self._spec.command()
        read_end, write_end = os.pipe()
        pump = asyncio.create_task(self._output.pump(self.name, read_end))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)
        try:
            return await Child.start(command, write_end)
        finally:
            os.close(write_end)

    async def _finish_output(self) -> None:
        # A process of the dead one's own may hold the pipe for longer; that is not waited for.
        if not self._pumps:
            return
        _, unfinished = await asyncio.wait(self._pumps, timeout=_LAST_OUTPUT_PATIENCE)
        for pump in unfinished:
            pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*unfinished, return_exceptions=True)

    def _last_words(self) -> str:
        return "".join(f"\n  {line}" for line in self._output.tail(self.name))
