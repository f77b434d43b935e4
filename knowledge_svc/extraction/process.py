"""Files are read in processes of their own, one for each: a hostile one can only end that."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from knowledge_svc import metrics
from knowledge_svc.domain.extraction import Chunk, ExtractionFailed, FailureReason, Outline
from knowledge_svc.extraction.chunker import CHUNKER
from knowledge_svc.extraction.limits import Limits
from knowledge_svc.extraction.listening import MOST_LINE_BYTES, Listener, Untrue
from knowledge_svc.extraction.readers import READERS
from knowledge_svc.extraction.worker import OUT_OF_MEMORY, Order

_WORKER = "knowledge_svc.extraction.worker"
_BATCH = 100
_BLOCK = 64 << 10
# A process that has said its last word ends at once.
_END_SECONDS = 5.0


class ProcessExtractor:
    """An Extractor that reads each file in a process with bounded memory, time and rights.

    Chunks that came before a failure are to be dropped: a document is whole, or has no text.
    `ocr` names a module that is an Ocr; without one, pages that are pictures have no text.
    """

    chunker = CHUNKER

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        ocr: str | None = None,
        readers: Mapping[str, str] = READERS,
    ) -> None:
        self._limits = limits or Limits()
        self._ocr = ocr
        self._readers = readers
        self._places = asyncio.Semaphore(self._limits.workers)

    def can_read(self, media_type: str) -> bool:
        """See Extractor."""
        return media_type in self._readers

    @asynccontextmanager
    async def open(self, path: Path, media_type: str) -> AsyncIterator["ProcessExtraction"]:
        """See Extractor; waits while as many files are read as may be. A KeyError where
        `can_read` says no."""
        order = Order(self._readers[media_type], os.getpid(), self._limits, self._ocr)
        async with self._places:
            began = time.monotonic()
            process, pipe = await _start(order, path)
            extraction = ProcessExtraction(process, pipe.reader, self._limits)
            try:
                yield extraction
            finally:
                pipe.transport.close()
                await _kill(process)
                metrics.EXTRACTION_SECONDS.labels(media_type, extraction.outcome).observe(
                    time.monotonic() - began
                )


class ProcessExtraction:
    """What one process finds; see Extraction."""

    def __init__(self, process: Process, said: asyncio.StreamReader, limits: Limits) -> None:
        self.pid = process.pid
        # For the metrics: how it ended.
        self.outcome = "left"
        self._process = process
        self._said = said
        self._limits = limits
        # While the taker of chunks is busy, the process waits, and its time does not run.
        self._seconds_left = limits.seconds
        self._listener = Listener(limits.chunks)
        self._outline: Outline | None = None

    @property
    def outline(self) -> Outline:
        """See Extraction; a RuntimeError before the end."""
        if self._outline is None:
            raise RuntimeError("the end has not been reached")
        return self._outline

    async def __aiter__(self) -> AsyncIterator[Sequence[Chunk]]:
        try:
            async for batch in self._batches():
                yield batch
        except ExtractionFailed as failure:
            self.outcome = failure.reason.value.lower()
            raise
        self.outcome = "ok"

    async def _batches(self) -> AsyncIterator[Sequence[Chunk]]:
        batch: list[Chunk] = []
        async for line in self._lines():
            match self._heard(line):
                case Chunk() as chunk:
                    batch.append(chunk)
                case Outline() as outline:
                    if batch:
                        yield batch
                    self._outline = outline
                    return
                case ExtractionFailed() as failure:
                    raise failure
            if len(batch) == _BATCH:
                yield batch
                batch = []
        raise await self._death()

    def _heard(self, line: bytes) -> Chunk | Outline | ExtractionFailed:
        try:
            return self._listener.hear(line)
        except Untrue as error:
            raise _crashed(f"the process that reads files talks nonsense: {error}") from error

    async def _lines(self) -> AsyncIterator[bytes]:
        rest = b""
        while block := await self._read():
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield line
            if len(rest) > MOST_LINE_BYTES:
                raise _crashed("the process that reads files talks without an end")

    async def _read(self) -> bytes:
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, self._seconds_left)):
                return await self._said.read(_BLOCK)
        except TimeoutError as error:
            raise self._timed_out() from error
        finally:
            self._seconds_left -= time.monotonic() - began

    async def _death(self) -> ExtractionFailed:
        """Why there is nothing more, though the end was not told."""
        try:
            async with asyncio.timeout(_END_SECONDS):
                status = await self._process.wait()
        except TimeoutError:
            return _crashed("the process that reads files stopped talking")
        if status == OUT_OF_MEMORY:
            most = self._limits.memory_mebibytes
            return ExtractionFailed(
                FailureReason.OUT_OF_MEMORY, f"it needs more than {most} MiB of memory"
            )
        if status == -signal.SIGXCPU:
            return self._timed_out()
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        return _crashed(f"the process that reads files ended with {how}")

    def _timed_out(self) -> ExtractionFailed:
        return ExtractionFailed(
            FailureReason.TIMED_OUT, f"it takes longer than {self._limits.seconds:g} s"
        )


def _crashed(detail: str) -> ExtractionFailed:
    return ExtractionFailed(FailureReason.CRASHED, detail)


@dataclass(frozen=True)
class _Pipe:
    """Our end of a pipe, which is read no faster than somebody takes from it."""

    reader: asyncio.StreamReader
    transport: asyncio.BaseTransport


async def _start(order: Order, path: Path) -> tuple[Process, _Pipe]:
    """The process, with the file and a pipe to us, and with nothing else of ours."""
    environment = {
        # Where this process finds its modules, the other one does.
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "LC_ALL": "C.UTF-8",
        # Reserves for every thread count as memory.
        "MALLOC_ARENA_MAX": "1",
    }
    with path.open("rb") as file:
        pipe, theirs = await _pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-s", "-B", "-m", _WORKER,
                order.as_json(), stdin=file, stdout=theirs, stderr=DEVNULL,
                env=environment, start_new_session=True,
            )  # fmt: skip
        except BaseException:
            pipe.transport.close()
            raise
        finally:
            os.close(theirs)
    return process, pipe


async def _pipe() -> tuple[_Pipe, int]:
    """A pipe, and the descriptor of its other end."""
    ours, theirs = os.pipe()
    reader = asyncio.StreamReader(limit=_BLOCK)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", 0)
    )
    return _Pipe(reader, transport), theirs


async def _kill(process: Process) -> None:
    """End the process and what it may have started, and leave no zombie."""
    # Its number is still its own: nobody else waits for it.
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(process.wait())
