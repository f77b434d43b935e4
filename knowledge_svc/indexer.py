"""Brings the vector index in step with the items, in the background; several replicas may."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from knowledge_svc import metrics
from knowledge_svc.domain.items import Failure, Space, Task, Vector, Write
from knowledge_svc.lanes import Lane, set_within
from knowledge_svc.leases import Leases
from knowledge_svc.pace import Pace, delay
from knowledge_svc.ports.items import Embedder, IndexQueue, ItemStore, Purpose, VectorIndex
from svckit import logs
from svckit.errors import Unavailable

log = logs.get(__name__)

_LONGEST_DELAY = 300.0

# A task and, once it is embedded, its vector.
_Work = tuple[Task, Sequence[float]]
_Step = Callable[[Sequence[_Work]], Awaitable[Sequence[_Work]]]


class Indexer:
    """Claims rows of the queue under leases, embeds them, and marks exactly what it indexed.

    What is to be indexed and what is to be removed go in lanes of their own, so that a
    deletion never waits for an embedder.
    """

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
        self._leases = Leases(queue, pace)
        self._adding = Lane("pending", self._leases, self._add_all, pace)
        self._removing = Lane("deleting", self._leases, self._remove_all, pace)
        self._progress = asyncio.Event()
        self._tending: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, unless it has begun."""
        if not self._tending:
            self._tending = [
                asyncio.create_task(self._leases.keep(), name="indexer leases"),
                asyncio.create_task(self._watch(), name="indexer watch"),
            ]
        self._adding.start()
        self._removing.start()

    async def stop(self) -> None:
        """End after the batch in flight; what is left is another replica's, or for later."""
        await asyncio.gather(self._adding.stop(), self._removing.stop())
        for tending in self._tending:
            tending.cancel()
        await asyncio.gather(*self._tending, return_exceptions=True)

    def wake(self) -> None:
        """There is something to index: do not wait for the next poll."""
        self._adding.wake()

    async def progressed(self, seconds: float) -> None:
        """Return when a batch is done, or after so many seconds."""
        await set_within(self._progress, seconds)

    def _report_progress(self) -> None:
        done, self._progress = self._progress, asyncio.Event()
        done.set()

    async def _add_all(self, tasks: Sequence[Task]) -> None:
        async with self._put_off_in_outage(tasks):
            await self._pipeline(_batches(tasks, self._pace))
            await self._leases.release(self._leases.left(tasks))
        await self._queue.settle()

    async def _pipeline(self, batches: Sequence[Sequence[Task]]) -> None:
        """Each batch is written while the next one is embedded."""
        embedded: Sequence[_Work] = ()
        for batch in [*batches, ()]:
            # When it is to stop, what is embedded is written, and no more.
            begun = () if self._adding.is_stopping else batch
            outcomes = await asyncio.gather(
                self._isolated(embedded, self._write),
                self._isolated([(task, ()) for task in begun], self._embed),
                return_exceptions=True,
            )
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                embedded = outcome

    async def _remove_all(self, tasks: Sequence[Task]) -> None:
        async with self._put_off_in_outage(tasks):
            await self._isolated([(task, ()) for task in tasks], self._remove_each)

    @asynccontextmanager
    async def _put_off_in_outage(self, tasks: Sequence[Task]) -> AsyncIterator[None]:
        """Nobody's fault: let go of what is left, for when the backend is there again."""
        try:
            yield
        except Unavailable as error:
            wait = delay(self._pace.retry_seconds, 1, _LONGEST_DELAY)
            left = self._leases.left(tasks)
            failures = [Failure(task, task.attempts, wait, False, error.message) for task in left]
            await self._put_off(failures)
            raise
        finally:
            self._report_progress()

    async def _isolated(self, works: Sequence[_Work], step: _Step) -> Sequence[_Work]:
        """Take works through a step together; where one of them fails, it alone is put off."""
        if not works:
            return ()
        try:
            return await step(works)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a text does to an embedder
            # Out of here before it goes on: else each half's failure would drag in those before.
            failure = error
        if len(works) == 1:
            await self._fail(works[0][0], failure)
            return ()
        middle = len(works) // 2
        return [
            *await self._isolated(works[:middle], step),
            *await self._isolated(works[middle:], step),
        ]

    async def _embed(self, works: Sequence[_Work]) -> Sequence[_Work]:
        tasks = [task for task, _ in works]
        metrics.BATCH_ITEMS.observe(len(tasks))
        metrics.BATCH_TOKENS.observe(sum(map(_tokens, tasks)))
        async with self._step("embed"):
            vectors = await self._embedder.embed([task.content for task in tasks], Purpose.DOCUMENT)
        return [*zip(tasks, vectors, strict=True)]

    async def _write(self, works: Sequence[_Work]) -> Sequence[_Work]:
        # A vector of zeros has no direction, so nothing is near it.
        with_vector = [(task, values) for task, values in works if any(values)]
        without = [task for task, values in works if not any(values)]
        if with_vector:
            async with self._step("upsert"):
                await self._index.upsert(self._space.name, [_vector(*one) for one in with_vector])
            await self._mark([task for task, _ in with_vector], self._space.model)
        if without:
            async with self._step("delete"):
                await self._index.delete(self._space.name, [task.knowledge_id for task in without])
            await self._mark(without, None)
        return ()

    async def _mark(self, tasks: Sequence[Task], model: str | None) -> None:
        async with self._step("mark"):
            gone = await self._queue.mark_indexed(
                [Write(task.knowledge_id, task.revision) for task in tasks], model,
                owner=self._leases.owner,
            )  # fmt: skip
        for task in tasks:
            metrics.WAITED_SECONDS.observe(task.waited_seconds)
        if gone:
            # Deleted while it was being indexed.
            await self._remove(gone)
        self._leases.done(tasks)
        self._report_progress()

    async def _remove_each(self, works: Sequence[_Work]) -> Sequence[_Work]:
        tasks = [task for task, _ in works]
        await self._remove([task.knowledge_id for task in tasks])
        self._leases.done(tasks)
        return ()

    async def _remove(self, knowledge_ids: Sequence[str]) -> None:
        async with self._step("delete"):
            await self._index.delete(self._space.name, knowledge_ids)
        await self._items.finish_deletions(knowledge_ids, owner=self._leases.owner)

    @asynccontextmanager
    async def _step(self, name: str) -> AsyncIterator[None]:
        """A step of a batch, measured; one that does not end is an outage."""
        with metrics.STEP_SECONDS.labels(name).time():
            try:
                async with asyncio.timeout(self._pace.step_seconds):
                    yield
            except TimeoutError as error:
                raise Unavailable(f"step {name} does not end") from error

    async def _fail(self, task: Task, error: Exception) -> None:
        attempts = task.attempts + 1
        is_final = attempts >= self._pace.most_attempts and not task.is_deletion
        metrics.FAILURES.labels("given up" if is_final else "put off").inc()
        log.warning(
            "item failed to index", knowledge_id=task.knowledge_id, attempts=attempts,
            is_final=is_final, exc_info=error,
        )  # fmt: skip
        wait = delay(self._pace.retry_seconds, attempts, _LONGEST_DELAY)
        await self._put_off(
            [Failure(task, attempts, wait, is_final, f"{type(error).__name__}: {error}")]
        )

    async def _put_off(self, failures: Sequence[Failure]) -> None:
        # First, or a renewal that comes just now would take the pause away again.
        self._leases.done(failure.task for failure in failures)
        if failures:
            await self._queue.put_off(failures, owner=self._leases.owner)

    async def _watch(self) -> None:
        """Whatever the lanes wait for, words are settled, and an operator sees what waits."""
        while True:
            try:
                await self._queue.settle()
                backlog = await self._queue.backlog()
                space = self._space.name
                metrics.BACKLOG.labels(space).set(backlog.rows)
                metrics.OLDEST_PENDING.labels(space).set(backlog.oldest_seconds)
                metrics.DEAD_LETTERS.labels(space).set(backlog.dead_letters)
            except Exception as error:  # noqa: BLE001 - it looks again later
                log.warning("the queue is not looked after", why=str(error))
            await asyncio.sleep(self._pace.watch_seconds)


def _batches(tasks: Sequence[Task], pace: Pace) -> list[list[Task]]:
    """The tasks in order, in batches of so many items and tokens; one item at least."""
    batches: list[list[Task]] = []
    tokens = 0
    for task in tasks:
        tokens += _tokens(task)
        if not batches or len(batches[-1]) == pace.most_items or tokens > pace.most_tokens:
            batches.append([])
            tokens = _tokens(task)
        batches[-1].append(task)
    return batches


def _tokens(task: Task) -> int:
    """About how many tokens a text has: a quarter of its bytes, in any language."""
    return len(task.content.encode()) // 4 + 1


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
