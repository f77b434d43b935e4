"""Wake-ups from the database: notifications of a channel, and a proof that none is missing.

Whoever listens reads again anyway, only later, so a lost notice delays and never loses.
Who would rather not read again may rely on `proved_at`: what was committed before it has
been told, or `on_lost` has been called since.
"""

import asyncio
import contextlib
import itertools
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from svckit import ids, logs, metrics

if TYPE_CHECKING:
    import asyncpg

log = logs.get(__name__)

CONNECT_SECONDS = 3.0
# A proof is sought so often while somebody asks for it, and so often while nobody does.
BEAT_SECONDS = 0.25
IDLE_BEAT_SECONDS = 5.0
# How long ago it was asked for, for nobody to be asking.
ASKED_SECONDS = 2.0
# A token that was sent and is not back by then will not come: the connection is dead.
TOKEN_SECONDS = 2.0
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0


class Notices(Protocol):
    """Notifications of one channel. A lost one delays and never loses: whoever gets them
    reads again anyway.
    """

    def on_notice(self, callback: Callable[[str], None]) -> None:
        """Have each notice's payload told, on the event loop."""
        ...

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Have it told that continuity is broken: notices since the last proof may be lost.

        Also told when the connection is there, the first time too, before the first proof:
        nothing that was committed earlier has been listened to.
        """
        ...

    @property
    def proved_at(self) -> float:
        """A `time.monotonic()`: all that was committed before it, and after the last `on_lost`
        was told, has been told. -inf while there is no proof.

        Asking keeps proofs coming; while nobody asks there are few.
        """
        ...


class NoNotices:
    """Where nobody notifies: nothing is told and nothing is proved."""

    proved_at = -math.inf

    def on_notice(self, callback: Callable[[str], None]) -> None:
        """Nothing to tell."""

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Nothing to lose."""


class Callbacks:
    """Whom to tell; what they raise is logged and concerns nobody else."""

    def __init__(self) -> None:
        self._noticing: list[Callable[[str], None]] = []
        self._losing: list[Callable[[], None]] = []

    def on_notice(self, callback: Callable[[str], None]) -> None:
        """See `Notices`."""
        self._noticing.append(callback)

    def on_lost(self, callback: Callable[[], None]) -> None:
        """See `Notices`."""
        self._losing.append(callback)

    def tell(self, payload: str) -> None:
        """A notice has come."""
        for callback in self._noticing:
            self._guarded(callback, payload)

    def tell_lost(self) -> None:
        """Continuity is broken."""
        for callback in self._losing:
            self._guarded(callback)

    def _guarded(self, callback: Callable[..., None], *arguments: str) -> None:
        try:
            callback(*arguments)
        except Exception:
            # The listener outlives whom it tells.
            log.exception("a callback of a listener failed")


class Backoff:
    """Pauses between attempts that grow until one succeeds, and differ between processes."""

    def __init__(self, first: float, longest: float) -> None:
        """Seconds, before they are made a little shorter by chance."""
        self._first = self._pause = first
        self._longest = longest

    def reset(self) -> None:
        """It has worked."""
        self._pause = self._first

    async def sleep(self) -> None:
        """Pause before the next attempt."""
        await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))
        self._pause = min(self._pause * 2, self._longest)


class _Lost(Exception):
    """The connection is gone, or nothing comes through it any more."""


class PostgresNotices(Callbacks):
    """Notices over a connection of its own, which is made again for ever.

    The proof is a token that goes in where this process's own calls go in (`notify`, over
    the pool) and comes out at the listening connection. Postgres has one queue, in the order
    of commits, and delivers from it in order; so when the token is back, everything committed
    before it was sent has been told. A plain round trip on the listening connection would
    prove less: not that LISTEN is still in force (behind a pooler that lends server
    connections by transaction it is not, although the same one may answer), nor that one
    listens to the server that one writes to. And the listening connection must stay silent:
    such a pooler then has no occasion to let a token through by accident.
    """

    def __init__(
        self, url: str, channel: str, notify: Callable[[str, str], Awaitable[object]],
        *, role: str | None = None,
    ) -> None:  # fmt: skip
        """`notify` sends a payload to a channel, in a transaction of its own."""
        super().__init__()
        self._url = url
        self._channel = channel
        self._notify = notify
        self._settings = {"application_name": f"{role or 'kith'} listener"}
        if role:
            self._settings["role"] = role
        # A channel of its own for the tokens, so that nobody else wakes up for them.
        self._token_channel = f"{channel[:24]}_{ids.new().replace('-', '')}"
        self._tokens = itertools.count()
        self._awaited: dict[str, asyncio.Future[None]] = {}
        self._proved_at = -math.inf
        self._asked_at = -math.inf
        self._asked = asyncio.Event()
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._is_listening: bool | None = None
        metrics.LISTENER_PROOF_AGE.labels(channel).set_function(
            lambda: time.monotonic() - self._proved_at
        )
        self._losses = metrics.LISTENER_LOST.labels(channel)
        self._worker = asyncio.create_task(self._work(), name=f"listener {channel}")

    @property
    def proved_at(self) -> float:
        """See `Notices`."""
        self._asked_at = time.monotonic()
        self._asked.set()
        return self._proved_at

    async def close(self) -> None:
        """Stop listening; nothing is told any more."""
        self._worker.cancel()
        await asyncio.wait([self._worker])
        self._proved_at = -math.inf

    async def _work(self) -> None:
        while True:
            try:
                async with self._connected() as lost:
                    await self._keep_proving(lost)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                self._note(listening=False, why=str(error) or type(error).__name__)
            await self._backoff.sleep()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncio.Future[None]]:
        """Listen while the block runs; the future is done when the connection is gone."""
        import asyncpg

        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_termination(_: object) -> None:
            if not lost.done():
                lost.set_result(None)

        connection = await asyncpg.connect(
            self._url,
            timeout=CONNECT_SECONDS,
            command_timeout=CONNECT_SECONDS,
            server_settings=self._settings,
        )
        connection.add_termination_listener(on_termination)
        try:
            await connection.add_listener(self._channel, self._on_notice)
            await connection.add_listener(self._token_channel, self._on_token)
            self.tell_lost()
            yield lost
        finally:
            # First: from here on nothing that is read may count on being told of changes.
            self._proved_at = -math.inf
            self.tell_lost()
            await _closed(connection)

    async def _keep_proving(self, lost: asyncio.Future[None]) -> None:
        while True:
            await self._prove(lost)
            self._asked.clear()
            if time.monotonic() - self._asked_at < ASKED_SECONDS:
                await asyncio.wait([lost], timeout=BEAT_SECONDS)
            else:
                await first_of(lost, self._asked.wait(), timeout=IDLE_BEAT_SECONDS)

    async def _prove(self, lost: asyncio.Future[None]) -> None:
        """Move `proved_at` by one token's way; raise _Lost if it does not come back."""
        started = time.monotonic()
        token = str(next(self._tokens))
        arrived = self._awaited[token] = asyncio.get_running_loop().create_future()
        try:
            sent = await self._send(token)
            if sent:
                await first_of(lost, arrived, timeout=TOKEN_SECONDS)
            if lost.done():
                raise _Lost("the connection was closed")
            if arrived.done():
                self._proved_at = started
                self._backoff.reset()
                self._note(listening=True)
            elif sent:
                raise _Lost("notifications do not arrive; is there a pooler in between?")
        finally:
            del self._awaited[token]

    async def _send(self, token: str) -> bool:
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                await self._notify(self._token_channel, token)
        except Exception as error:  # noqa: BLE001 - it is the way in that failed, not this one
            log.debug("could not send a token", channel=self._channel, why=str(error))
            return False
        return True

    def _on_notice(self, _: object, __: int, ___: str, payload: object) -> None:
        self.tell(str(payload))

    def _on_token(self, _: object, __: int, ___: str, token: object) -> None:
        arrived = self._awaited.get(str(token))
        if arrived is not None and not arrived.done():
            arrived.set_result(None)

    def _note(self, *, listening: bool, why: str = "") -> None:
        """Say once what has changed."""
        if listening != self._is_listening:
            if listening:
                log.info("listening", channel=self._channel)
            else:
                self._losses.inc()
                log.warning("not listening", channel=self._channel, why=why)
        self._is_listening = listening


async def first_of(*awaited: Awaitable[Any], timeout: float | None = None) -> None:
    """Wait for the first, or the timeout; coroutines are cancelled, futures left alone."""
    futures = [asyncio.ensure_future(one) for one in awaited]
    try:
        await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future, one in zip(futures, awaited, strict=True):
            if future is not one:
                future.cancel()


async def _closed(connection: "asyncpg.Connection[Any]") -> None:
    import asyncpg

    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        # At a hung connection it gives up after a while, and cuts it.
        await connection.close(timeout=0.5)
