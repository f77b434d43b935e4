"""Brings the vector index in step with the items, in the background; several replicas may."""

import asyncio
import contextlib
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from knowledge_svc import metrics
from knowledge_svc.domain.items import Failure, Space, Task, Vector, Write
from knowledge_svc.ports.items import Embedder, IndexQueue, ItemStore, Purpose, VectorIndex
from svckit import ids, logs
from svckit.errors import Unavailable

log = logs.get(__name__)

_BACKLOG_SECONDS = 5.0
_LONGEST_DELAY = 300.0
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True)
class Pace:
    """How an indexer goes about its work; the defaults are for production."""

    most_items: int = 128
    most_attempts: int = 5
    # After this a row is anybody's again; a batch takes a fraction of it.
    lease_seconds: float = 30.0
    # How soon what other replicas left over is noticed.
    poll_seconds: float = 1.0
    # Before the second try; doubled for each further one.
    retry_seconds: float = 1.0
    # How long a batch may take to end when the process stops.
    stop_seconds: float = 5.0


class Indexer:
    """Claims rows of the queue under a lease, embeds them, and marks exactly what it indexed."""

    def __init__(
        self,
        queue: IndexQueue,
        items: ItemStore,
        index: VectorIndex,
        embedder: Embedder,
        space: Space,
        pace: Pace,
    ) -> None:
        self._queue = queue
        self._items = items
        self._index = index
        self._embedder = embedder
        self._space = space
        self._pace = pace
        self._owner = ids.new()
        self._work = asyncio.Event()
        self._progress = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._backlog_at = 0.0

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="indexer")

    async def stop(self) -> None:
        """End after the batch in flight; what is left is another replica's, or for later."""
        self._stop.set()
        self._work.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=self._pace.stop_seconds)
            self._task.cancel()
            await asyncio.wait([self._task])

    def wake(self) -> None:
        """There is work: do not wait for the next poll."""
        self._work.set()

    async def progressed(self, seconds: float) -> None:
        """Return when a batch is done, or after so many seconds."""
        await _set_within(self._progress, seconds)

    async def _run(self) -> None:
        outages, most = 0, self._pace.most_items
        while not self._stop.is_set():
            self._work.clear()
            tasks: Sequence[Task] = ()
            try:
                tasks = await self._queue.claim(
                    self._owner, most=most, lease_seconds=self._pace.lease_seconds
                )
                await self._do(tasks)
                if tasks:
                    await self._queue.settle()
                await self._measure_backlog()
            except Exception as error:
                known = isinstance(error, Unavailable)
                log.warning("indexing pauses", why=str(error), exc_info=None if known else error)
                outages += 1
                # If it is not an outage but one text that looks like it, others get through.
                most = max(len(tasks) // 2, 1) if tasks else most
                await _set_within(self._stop, _delay(0.25, outages, _LONGEST_PAUSE))
                continue
            if len(tasks) < most:
                await _set_within(self._work, self._pace.poll_seconds)
            if tasks:
                outages, most = 0, min(most * 2, self._pace.most_items)

    async def _do(self, tasks: Sequence[Task]) -> None:
        try:
            for is_deletion in (True, False):
                alike = [task for task in tasks if task.is_deletion == is_deletion]
                if alike:
                    await self._isolated(alike)
        except Unavailable as error:
            # Nobody's fault: let go of what is left, for when the backend is there again.
            delay = _delay(self._pace.retry_seconds, 1, _LONGEST_DELAY)
            await self._queue.put_off(
                [Failure(task, task.attempts, delay, False, error.message) for task in tasks]
            )
            raise
        finally:
            done, self._progress = self._progress, asyncio.Event()
            done.set()

    async def _isolated(self, tasks: Sequence[Task]) -> None:
        """Do tasks of one kind together; where one of them fails, it alone is put off."""
        try:
            if tasks[0].is_deletion:
                await self._remove([task.knowledge_id for task in tasks])
            else:
                await self._add(tasks)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a text does to an embedder
            if len(tasks) == 1:
                await self._put_off(tasks[0], error)
                return
            middle = len(tasks) // 2
            await self._isolated(tasks[:middle])
            await self._isolated(tasks[middle:])

    async def _add(self, tasks: Sequence[Task]) -> None:
        metrics.BATCH_ITEMS.observe(len(tasks))
        with metrics.STEP_SECONDS.labels("embed").time():
            embedded = await self._embedder.embed(
                [task.content for task in tasks], Purpose.DOCUMENT
            )
        # A vector of zeros has no direction, so nothing is near it.
        with_vector = [(task, v) for task, v in zip(tasks, embedded, strict=True) if any(v)]
        without = [task for task, v in zip(tasks, embedded, strict=True) if not any(v)]
        if with_vector:
            with metrics.STEP_SECONDS.labels("upsert").time():
                await self._index.upsert(self._space.name, [_vector(*one) for one in with_vector])
            await self._mark([task for task, _ in with_vector], self._space.model)
        if without:
            await self._index.delete(self._space.name, [task.knowledge_id for task in without])
            await self._mark(without, None)

    async def _mark(self, tasks: Sequence[Task], model: str | None) -> None:
        with metrics.STEP_SECONDS.labels("mark").time():
            gone = await self._queue.mark_indexed(
                [Write(task.knowledge_id, task.revision) for task in tasks], model
            )
        for task in tasks:
            metrics.WAITED_SECONDS.observe(task.waited_seconds)
        if gone:
            # Deleted while it was being indexed.
            await self._remove(gone)

    async def _remove(self, knowledge_ids: Sequence[str]) -> None:
        await self._index.delete(self._space.name, knowledge_ids)
        await self._items.finish_deletions(knowledge_ids, owner=self._owner)

    async def _put_off(self, task: Task, error: Exception) -> None:
        attempts = task.attempts + 1
        is_final = attempts >= self._pace.most_attempts and not task.is_deletion
        metrics.FAILURES.labels("given up" if is_final else "put off").inc()
        log.warning(
            "item failed to index", knowledge_id=task.knowledge_id, attempts=attempts,
            is_final=is_final, exc_info=error,
        )  # fmt: skip
        delay = _delay(self._pace.retry_seconds, attempts, _LONGEST_DELAY)
        why = f"{type(error).__name__}: {error}"
        await self._queue.put_off([Failure(task, attempts, delay, is_final, why)])

    async def _measure_backlog(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._backlog_at >= _BACKLOG_SECONDS:
            self._backlog_at = now
            backlog = await self._queue.backlog()
            metrics.BACKLOG.labels(self._space.name).set(backlog.rows)
            metrics.OLDEST_PENDING.labels(self._space.name).set(backlog.oldest_seconds)


def _vector(task: Task, values: Sequence[float]) -> Vector:
    return Vector(
        knowledge_id=task.knowledge_id,
        values=values,
        namespace=task.namespace,
        occurred_at=task.occurred_at,
        subject_id=task.subject_id,
        group_id=task.group_id,
        session_id=task.session_id,
        content_hash=hashlib.sha256(task.content.encode()).hexdigest(),
        revision=task.revision,
    )


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _delay(first: float, times: int, longest: float) -> float:
    """Twice as long each time, give or take half, so that replicas do not move in step."""
    return min(first * 2.0 ** (times - 1), longest) * random.uniform(0.5, 1.5)
