"""Wake-ups over Supabase Realtime, for a service that has no direct connection.

Realtime reads the database's own log and tells of changed rows. It proves nothing: what it
has told and what not, nobody can say. So it wakes readers up, and nothing relies on it.
"""

import asyncio
import contextlib
import logging
import math
from typing import TYPE_CHECKING, Any

from svckit import logs
from svckit.listener import Backoff, Callbacks, first_of

if TYPE_CHECKING:
    from realtime import AsyncRealtimeClient

log = logs.get(__name__)

JOIN_SECONDS = 10.0
CLOSE_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


class RealtimeNotices(Callbacks):
    """Notices of updates to a table of few rows; the payload is always empty.

    The client's own reconnecting gives up after a while, tells nobody, and can lose its
    reader to an exception; so it is switched off, and each attempt has a client of its own.
    """

    proved_at = -math.inf

    def __init__(self, url: str, key: str, schema: str, table: str) -> None:
        super().__init__()
        self._url = url.rstrip("/")
        self._key = key
        self._schema = schema
        self._table = table
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._is_watching: bool | None = None
        # They would write the key, which stands in the URL and in messages.
        logging.getLogger("realtime").setLevel(logging.CRITICAL)
        logging.getLogger("websockets").setLevel(logging.WARNING)
        self._worker = asyncio.create_task(self._work(), name=f"realtime {schema}.{table}")

    async def close(self) -> None:
        """Stop watching; nothing is told any more."""
        self._worker.cancel()
        await asyncio.wait([self._worker])

    async def _work(self) -> None:
        from realtime import AsyncRealtimeClient

        while True:
            client = AsyncRealtimeClient(
                f"{self._url}/realtime/v1", self._key, auto_reconnect=False, max_retries=1
            )
            try:
                await self._watch(client)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                said = (str(error) or type(error).__name__).replace(self._key, "...")
                self._note(watching=False, why=said)
            finally:
                await _closed(client)
            self.tell_lost()
            await self._backoff.sleep()

    async def _watch(self, client: "AsyncRealtimeClient") -> None:
        """Tell of updates until the client is told that something is wrong, then raise."""
        from realtime.types import RealtimePostgresChangesListenEvent

        attached, ended = asyncio.Event(), asyncio.Event()
        channel = client.channel(f"{self._schema}_{self._table}")
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.Update, lambda _: self.tell(""),
            schema=self._schema, table=self._table,
        )  # fmt: skip
        # The reply to a join says less: the database's side is not attached yet.
        channel.on_system(lambda _: attached.set())

        def on_state(state: Any, _: Exception | None) -> None:
            if state.value != "SUBSCRIBED":
                ended.set()
                attached.set()

        async with asyncio.timeout(JOIN_SECONDS):
            await channel.subscribe(on_state)
            await attached.wait()
        if not ended.is_set():
            self._backoff.reset()
            self._note(watching=True)
            # Nothing that was committed earlier has been watched for.
            self.tell_lost()
            # The client can stop reading without a word; there is no public sign of that.
            reader = client._listen_task
            if reader is not None:
                await first_of(ended.wait(), reader)
                if reader.done() and not reader.cancelled() and (why := reader.exception()):
                    raise why
        raise ConnectionError("Realtime refused the subscription, or ended it")

    def _note(self, *, watching: bool, why: str = "") -> None:
        """Say once what has changed."""
        if watching != self._is_watching:
            if watching:
                log.info("watching", table=f"{self._schema}.{self._table}")
            else:
                log.warning("not watching", table=f"{self._schema}.{self._table}", why=why)
        self._is_watching = watching


async def _closed(client: "AsyncRealtimeClient") -> None:
    # Whatever is wrong with it, it is done with.
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()
