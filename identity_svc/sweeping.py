"""Deletes what is past its time, and counts what an operator watches; behind the answers.

Expiry itself needs none of it: an expired session is expired when it is looked at. Every
replica does it; rows that another is deleting are left to it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from identity_svc import metrics
from identity_svc.ports.erasure import ErasureStore
from identity_svc.ports.sessions import SessionStore
from identity_svc.ports.verification import VerificationStore
from svckit import logs
from svckit.errors import ServiceError, SqlError

log = logs.get(__name__)

MINUTE = 60.0
BATCH = 1000


class Sweeper:
    """What is done every minute, for as long as the service runs."""

    def __init__(
        self,
        sessions: SessionStore,
        verifications: VerificationStore,
        erasures: ErasureStore,
        *,
        every: float = MINUTE,
    ) -> None:
        self._sessions = sessions
        self._verifications = verifications
        self._erasures = erasures
        self._every = every
        self._worker: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Sweep now and every minute until `drain`; may be called again."""
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="sweeping")

    async def drain(self) -> None:
        """End the work, wherever it is: what is not swept now is swept later."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
            self._worker = None

    async def sweep(self) -> None:
        """Delete all that is past its time, batch by batch, then count."""
        await self._empty("sessions", self._sessions.sweep)
        await self._empty("verifications", self._verifications.sweep)
        counts = await self._sessions.count()
        metrics.SESSIONS.labels("open").set(counts.open)
        metrics.SESSIONS.labels("expired").set(counts.expired)
        metrics.ERASURES_RUNNING.set(await self._erasures.count_running())

    async def _empty(self, kind: str, sweep: Callable[..., Awaitable[int]]) -> None:
        swept = BATCH
        while swept == BATCH:
            swept = await sweep(limit=BATCH)
            metrics.SWEPT.labels(kind).inc(swept)

    async def _work(self) -> None:
        while True:
            try:
                await self.sweep()
            except (ServiceError, SqlError) as error:
                log.warning("could not sweep", why=str(error))
            await asyncio.sleep(self._every)
