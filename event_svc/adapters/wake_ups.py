"""Hints that something was logged: LISTEN on a direct connection, none over REST."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import asyncpg

from svckit import logs
from svckit.sql import AsyncpgFunctions, SqlFunctions

log = logs.get(__name__)

CHANNEL = "kith_event_log"
# How often the connection is asked whether it is still there.
PROOF_SECONDS = 5.0
RETRY_SECONDS = 0.5
CONNECT_SECONDS = 3.0


class ListenWakeUps:
    """The WakeUps of a connection that listens; without a pool there are none."""

    def __init__(self, pool: "asyncpg.Pool[Any] | None") -> None:
        self._pool = pool
        self._on_notice: list[Callable[[str], None]] = []
        self._on_lost: list[Callable[[], None]] = []
        self._worker: asyncio.Task[None] | None = None
        self.proved_at = float("-inf")

    def on_notice(self, callback: Callable[[str], None]) -> None:
        self._on_notice.append(callback)

    def on_lost(self, callback: Callable[[], None]) -> None:
        self._on_lost.append(callback)

    def keep(self) -> None:
        """Listen until `drain`; may be called again."""
        if self._pool is not None and self._worker is None:
            self._worker = asyncio.create_task(self._work(self._pool), name="wake-ups")

    async def drain(self) -> None:
        """Listen no more."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
            self._worker = None

    async def _work(self, pool: "asyncpg.Pool[Any]") -> None:
        while True:
            try:
                async with pool.acquire(timeout=CONNECT_SECONDS) as connection:
                    await self._listen(connection)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.warning("wake-ups are lost", why=str(error))
            self.proved_at = float("-inf")
            for callback in self._on_lost:
                callback()
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self, connection: Any) -> None:
        await connection.add_listener(CHANNEL, self._notice)
        try:
            while True:
                await connection.execute("SELECT")
                self.proved_at = asyncio.get_running_loop().time()
                await asyncio.sleep(PROOF_SECONDS)
        finally:
            # The connection goes back to the pool, unless it died: the pool has dropped it then.
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.remove_listener(CHANNEL, self._notice)

    def _notice(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        for callback in self._on_notice:
            callback(str(payload))


def wake_ups_of(functions: SqlFunctions) -> ListenWakeUps:
    """The wake-ups of the log behind these functions."""
    return ListenWakeUps(functions.pool if isinstance(functions, AsyncpgFunctions) else None)
