"""Records when people were seen, behind the answers and off their path.

A person is written at most once a minute, however often they are resolved; what is to be
written is gathered for a moment and written together. Nobody waits for it, and what a
crash or an unreachable store loses, the next resolve brings back.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterable

from identity_svc.ports.people import IdentityStore
from svckit import logs

log = logs.get(__name__)

# How old the record of a person may be before it is written again.
FRESH_SECONDS = 60.0
# How long to gather between two writes.
PAUSE_SECONDS = 0.25
MOST_WRITTEN_AT_ONCE = 1000
MOST_WAITING = 20_000
MOST_REMEMBERED = 100_000


class Presence:
    """Who was seen lately; memory is bounded, and forgetting costs a write, no more."""

    def __init__(
        self, store: IdentityStore, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._clock = clock
        # By person, when seeing them is to be written again; the oldest entry first.
        self._due: dict[str, float] = {}
        self._waiting: list[str] = []
        self._worker: asyncio.Task[None] | None = None
        self._draining = asyncio.Event()

    def seen(self, person_ids: Iterable[str]) -> None:
        """Note that these people were seen just now; returns at once."""
        now = self._clock()
        for person_id in person_ids:
            if len(self._waiting) >= MOST_WAITING:
                break
            if self._due.get(person_id, now) <= now:
                self._remember(person_id, now + FRESH_SECONDS)
                self._waiting.append(person_id)
        if self._waiting and self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="presence")

    async def drain(self) -> None:
        """Return when everything noted so far is written, or cannot be."""
        self._draining.set()
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._write()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._draining.wait(), PAUSE_SECONDS)
        finally:
            self._worker = None

    async def _write(self) -> None:
        now = self._clock()
        batch = self._waiting[:MOST_WRITTEN_AT_ONCE]
        del self._waiting[:MOST_WRITTEN_AT_ONCE]
        try:
            ages = await self._store.touch(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, answers do not depend on it
            log.warning("could not record who was seen", why=str(error))
            self._forget(itertools.chain(batch, self._waiting))
            self._waiting.clear()
            return
        for person_id in batch:
            # Another process may have written it earlier than now.
            self._remember(person_id, now + FRESH_SECONDS - ages.get(person_id, FRESH_SECONDS))

    def _remember(self, person_id: str, due: float) -> None:
        self._due.pop(person_id, None)
        self._due[person_id] = due
        if len(self._due) > MOST_REMEMBERED:
            del self._due[next(iter(self._due))]

    def _forget(self, person_ids: Iterable[str]) -> None:
        for person_id in person_ids:
            self._due.pop(person_id, None)
