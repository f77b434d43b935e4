"""Reads the text of documents, in the background; several replicas may."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from knowledge_svc import metrics
from knowledge_svc.domain.documents import FILE_IS_LOST, FileLost, Piece, Reading
from knowledge_svc.domain.extraction import Chunk, ExtractionFailed, FailureReason, Outline
from knowledge_svc.downloads import Downloads
from knowledge_svc.pace import Pace
from knowledge_svc.ports.documents import ReadingQueue
from knowledge_svc.ports.extraction import Extractor
from knowledge_svc.spooling import Spool
from knowledge_svc.terms import terms_of
from svckit import ids, logs
from svckit.errors import Unavailable

log = logs.get(__name__)

# How many documents one process reads at once.
_WORKERS = 2
# A document that so many readings have not survived is given up.
_MOST_ATTEMPTS = 3
# So many pieces are made and stored together.
_MOST_PIECES = 128
_BACKLOG_SECONDS = 5.0
_LONGEST_DELAY = 300.0
_NOTHING = Outline(chunks=0, characters=0)


class _Lost(Exception):
    """The reading is not to go on: the document has changed, or somebody else has it."""


class Readers:
    """Claims documents under a lease, lays pieces of their text aside, shows them at the end."""

    def __init__(
        self,
        queue: ReadingQueue,
        downloads: Downloads,
        extractor: Extractor,
        spool: Spool,
        wake_indexer: Callable[[], None],
        pace: Pace,
    ) -> None:
        self._queue = queue
        self._downloads = downloads
        self._extractor = extractor
        self._spool = spool
        self._wake_indexer = wake_indexer
        self._pace = pace
        self._owner = ids.new()
        self._work = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, unless it has begun."""
        if not self._tasks:
            self._tasks = [
                *(asyncio.create_task(self._run(), name=f"reader {n}") for n in range(_WORKERS)),
                asyncio.create_task(self._measure(), name="documents measured"),
            ]

    async def stop(self) -> None:
        """End at once; what is being read is another replica's, or for later."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def wake(self) -> None:
        """There is work: do not wait for the next poll."""
        self._work.set()

    async def _run(self) -> None:
        while True:
            self._work.clear()
            try:
                found = await self._queue.claim(
                    self._owner, most=1, lease_seconds=self._pace.lease_seconds
                )
                for reading in found:
                    await self._try(reading)
            except Exception as error:
                known = isinstance(error, Unavailable)
                log.warning("reading pauses", why=str(error), exc_info=None if known else error)
                found = []
            if not found:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._work.wait(), self._pace.poll_seconds)

    async def _try(self, reading: Reading) -> None:
        """One reading, and what is to be done where it fails."""
        outcome = "put off"
        try:
            if reading.attempts > _MOST_ATTEMPTS:
                raise ExtractionFailed(FailureReason.CRASHED, "reading it ended without a word")
            async with self._held(reading):
                await self._read(reading)
            outcome = "succeeded"
        except ExtractionFailed as error:
            outcome = error.reason.value
            await self._queue.fail(reading, error.reason.value, error.detail)
        except FileLost:
            outcome = FILE_IS_LOST
            await self._queue.fail(reading, FILE_IS_LOST, "the original is not there, or changed")
        except _Lost:
            outcome = "lost"
        except Unavailable as error:
            log.warning("a reading waits", document_id=reading.document_id, why=error.message)
            await self._queue.put_off(
                reading, seconds=self._delay(reading.attempts), blameless=True
            )
        except asyncio.CancelledError:
            with contextlib.suppress(Unavailable):
                await asyncio.shield(self._queue.put_off(reading, seconds=0, blameless=True))
            raise
        except Exception as error:
            log.warning("a reading failed", document_id=reading.document_id, exc_info=error)
            await self._queue.put_off(
                reading, seconds=self._delay(reading.attempts), blameless=False
            )
        metrics.READINGS.labels(outcome).inc()

    @contextlib.asynccontextmanager
    async def _held(self, reading: Reading) -> AsyncIterator[None]:
        """Keep the lease while the block runs; raises _Lost where it is not to go on."""
        block = asyncio.current_task()
        assert block is not None
        is_lost = False

        async def hold() -> None:
            nonlocal is_lost
            seconds = self._pace.lease_seconds
            while not is_lost:
                await asyncio.sleep(seconds / 3)
                with contextlib.suppress(Unavailable):
                    is_lost = not await self._queue.renew(reading, lease_seconds=seconds)
            block.cancel()

        holding = asyncio.create_task(hold(), name="reading held")
        try:
            yield
        except asyncio.CancelledError:
            # By us, unless somebody wants this process to stop as well.
            if is_lost and block.uncancel() == 0:
                raise _Lost from None
            raise
        finally:
            holding.cancel()

    async def _read(self, reading: Reading) -> None:
        document = reading.document
        if not self._extractor.can_read(document.media_type):
            await self._finish(reading, _NOTHING, None)
            return
        with metrics.READING_SECONDS.time():
            async with self._spool.file() as file:
                async with contextlib.aclosing(self._downloads.read(document)) as blocks:
                    async for block in blocks:
                        await file.write(block)
                await file.end()
                async with self._extractor.open(file.path, document.media_type) as extraction:
                    async for chunks in extraction:
                        await self._stage(reading, chunks)
                    outline = extraction.outline
            await self._finish(reading, outline, self._extractor.chunker)

    async def _stage(self, reading: Reading, chunks: Sequence[Chunk]) -> None:
        for start in range(0, len(chunks), _MOST_PIECES):
            part = chunks[start : start + _MOST_PIECES]
            pieces = await asyncio.to_thread(_pieces, reading, part)
            if not await self._queue.stage(reading, pieces):
                raise _Lost

    async def _finish(self, reading: Reading, outline: Outline, chunker: str | None) -> None:
        is_indexed = chunker is not None
        if not await self._queue.finish(reading, outline, chunker=chunker, is_indexed=is_indexed):
            raise _Lost
        self._wake_indexer()

    def _delay(self, attempts: int) -> float:
        doubled: float = self._pace.retry_seconds * 2.0 ** max(attempts - 1, 0)
        return min(doubled, _LONGEST_DELAY) * random.uniform(0.5, 1.5)

    async def _measure(self) -> None:
        while True:
            with contextlib.suppress(Unavailable):
                backlog = await self._queue.backlog()
                for state in ("storing", "pending", "running", "succeeded", "failed", "deleting"):
                    metrics.DOCUMENTS.labels(state).set(backlog.states.get(state, 0))
                metrics.OLDEST_UNREAD.set(backlog.oldest_seconds)
            await asyncio.sleep(_BACKLOG_SECONDS)


def _pieces(reading: Reading, chunks: Sequence[Chunk]) -> list[Piece]:
    return [
        Piece(
            reading.piece_id(chunk.number), chunk.number, chunk.content, terms_of(chunk.content),
            _place_of(chunk), _moment(chunk.said_at),
        )
        for chunk in chunks
    ]  # fmt: skip


def _place_of(chunk: Chunk) -> dict[str, Any]:
    place = {
        "page": chunk.page, "start": chunk.start, "end": chunk.end,
        "speakers": [*chunk.speakers] or None, "seconds": chunk.seconds,
    }  # fmt: skip
    return {name: value for name, value in place.items() if value is not None}


def _moment(text: str | None) -> str | None:
    """What a transcript says of its times, in UTC, as far as it is a moment on earth.

    One that UTC has in the year 0 or 10000 could be stored, and never be read again.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return utc.isoformat()
