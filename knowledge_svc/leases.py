"""Tasks in hand: what an indexer holds, and keeps holding while it is at it."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from knowledge_svc.domain.items import Kind, Task
from knowledge_svc.pace import Pace
from knowledge_svc.ports.items import IndexQueue
from svckit import ids, logs
from svckit.errors import Unavailable

log = logs.get(__name__)

# Rows of contents that are claimed together; far more than a batch embeds.
_MOST_BYTES = 2 << 20


class Leases:
    """The leases of one indexer.

    They end by themselves when its process does. While it lives they are renewed, however slow
    an embedder is, so that nobody else does the same work.
    """

    def __init__(self, queue: IndexQueue, pace: Pace) -> None:
        self._queue = queue
        self._pace = pace
        self._held: dict[str, Task] = {}
        self.owner = ids.new()

    async def claim(self, kind: Kind, most: int) -> Sequence[Task]:
        """Up to so many tasks that are due; to be worked on within `holding`."""
        return await self._queue.claim(
            self.owner, kind, most=most, most_bytes=_MOST_BYTES,
            lease_seconds=self._pace.lease_seconds,
        )  # fmt: skip

    def is_all(self, tasks: Sequence[Task], most: int) -> bool:
        """Whether so many tasks, out of a claim of up to `most`, were all that was due."""
        # Four bytes are the most that a character has.
        return len(tasks) < most and sum(len(task.content) for task in tasks) * 4 < _MOST_BYTES

    @contextmanager
    def holding(self, tasks: Sequence[Task]) -> Iterator[None]:
        """Within it the leases of the tasks are renewed, until they are `done`."""
        self._held |= {task.knowledge_id: task for task in tasks}
        try:
            yield
        finally:
            self.done(tasks)

    def done(self, tasks: Iterable[Task]) -> None:
        """Whatever came of them, nothing is to be done with the tasks any more."""
        for task in tasks:
            self._held.pop(task.knowledge_id, None)

    def left(self, tasks: Iterable[Task]) -> list[Task]:
        """Those of the tasks that are not done."""
        return [task for task in tasks if task.knowledge_id in self._held]

    async def release(self, tasks: Sequence[Task]) -> None:
        """Leave the tasks to others, at once."""
        if tasks:
            self.done(tasks)
            names = [task.knowledge_id for task in tasks]
            await self._queue.renew(self.owner, names, lease_seconds=0.0)

    async def keep(self) -> None:
        """Renew what is held, for ever."""
        while True:
            await asyncio.sleep(self._pace.lease_seconds / 3)
            if self._held:
                try:
                    await self._queue.renew(
                        self.owner, [*self._held], lease_seconds=self._pace.lease_seconds
                    )
                except Unavailable as error:
                    log.warning("leases are not renewed", why=error.message)
