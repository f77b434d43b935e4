"""What the processes say, line by line, each line with the name of who said it.

Under heavy logs this is the supervisor's only work, so a line is prefixed as bytes and many lines
are written at once. A thread does the writing: a terminal that has been stopped holds back the
processes whose lines wait for it, and never the supervisor itself.
"""

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import BinaryIO

from rich.console import Console
from rich.style import Style
from rich.text import Text

_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 20
_REMEMBERED_LINES = 20
_WIDTH = 9
_STYLES = {
    "kith": "bold",
    "postgres": "blue",
    "identity": "green",
    "event": "yellow",
    "knowledge": "magenta",
    "gateway": "cyan",
}

Report = Callable[[], None]


class Output:
    """Prefixes lines and writes them to a stream, coloured if that is a terminal."""

    def __init__(self, stream: BinaryIO, console: Console | None = None) -> None:
        self._emit: Callable[[bytes], object] = _writer(stream)
        self._stream_emit = self._emit
        self._console = console if console is not None and console.is_terminal else None
        self._tails: dict[str, deque[str]] = {}
        self._jobs: queue.SimpleQueue[tuple[bytes, Report | None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="output", daemon=True)
        self._thread.start()

    def say(self, sentence: str, name: str = "kith") -> None:
        """Write a line of our own."""
        self._jobs.put((self._prefix(name) + sentence.encode() + b"\n", None))

    def show(self, text: str) -> None:
        """Write a text as it is, so that it can be copied."""
        self._jobs.put((text.encode() + b"\n", None))

    def tail(self, name: str) -> list[str]:
        """The last lines that a process has said."""
        return list(self._tails.get(name, ()))

    def forget(self, name: str) -> None:
        """Start a process's last lines afresh."""
        self._tails.pop(name, None)

    async def pump(self, name: str, descriptor: int) -> None:
        """Write all that comes out of a pipe, until its other end is closed everywhere."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_CHUNK)
        pipe = open(descriptor, "rb", buffering=0)  # noqa: ASYNC230, SIM115 - the transport owns it
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            rest = b""
            while chunk := await reader.read(_CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _LONGEST_LINE:
                    lines, rest = [*lines, rest], b""
                await self._write(name, lines)
            if rest:
                await self._write(name, [rest])
        finally:
            transport.close()

    async def close(self, patience: float = 1.0) -> None:
        """Write what has been said so far, unless the stream is stuck, and nothing more."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, patience)

    @contextlib.contextmanager
    def above(self, console: Console) -> Iterator[None]:
        """Write through a console whose live display stays below the lines."""

        def emit(data: bytes) -> None:
            text = Text.from_ansi(data.decode(errors="replace").removesuffix("\n"))
            console.print(text, soft_wrap=True)

        self._emit = emit
        try:
            yield
        finally:
            self._emit = self._stream_emit

    async def _write(self, name: str, lines: list[bytes]) -> None:
        if not lines:
            return
        tail = self._tails.setdefault(name, deque(maxlen=_REMEMBERED_LINES))
        tail.extend(line.decode(errors="replace") for line in lines[-_REMEMBERED_LINES:])
        prefix = self._prefix(name)
        await self._written(prefix + (b"\n" + prefix).join(lines) + b"\n")

    async def _written(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def report() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done.set)

        self._jobs.put((data, report))
        await done.wait()

    def _prefix(self, name: str) -> bytes:
        label = f"{name:<{_WIDTH}} | "
        if self._console is None:
            return label.encode()
        return Style.parse(_STYLES.get(name, "dim")).render(label).encode()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            data, report = job
            if data:
                # A reader that went away takes its lines with it, not the processes.
                with contextlib.suppress(OSError, ValueError):
                    self._emit(data)
            if report is not None:
                report()


def _writer(stream: BinaryIO) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        stream.write(data)
        stream.flush()

    return write
