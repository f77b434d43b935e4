"""Notices over Postgres: delivered before the proof, and found out when they are not."""

import asyncio
import itertools
import math
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any

import asyncpg
import pytest

from kithctl.embedded import EmbeddedPostgres
from svckit import listener
from svckit.errors import Unavailable
from svckit.listener import NoNotices, PostgresNotices
from tests.support.cluster import FAST, Database, administrator
from tests.support.proxy import proxy_to
from tests.support.services import store_of

CHANNEL = "kith_test"


class Heard:
    """What a listener tells."""

    def __init__(self, notices: PostgresNotices) -> None:
        self.notices = notices
        self.payloads: list[str] = []
        self.losses = 0
        notices.on_notice(self.payloads.append)
        notices.on_lost(self._lost)

    def _lost(self) -> None:
        self.losses += 1

    async def until(self, holds: Callable[[], bool], seconds: float = 10) -> None:
        """Wait for a condition, asking for proofs all the while as a cache does."""
        async with asyncio.timeout(seconds):
            while not holds():
                _ = self.notices.proved_at
                await asyncio.sleep(0.005)

    async def until_proved(self, after: float | None = None) -> float:
        """Wait for a proof that began after a time, by default now; answers when it began."""
        after = time.monotonic() if after is None else after
        await self.until(lambda: self.notices.proved_at > after)
        return self.notices.proved_at


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Any]:
    async with asyncpg.create_pool(database.url("kith_event"), min_size=0, max_size=4) as opened:
        yield opened


def notifying(pool: Any) -> Callable[[str, str], Any]:
    return lambda channel, payload: pool.execute("SELECT pg_notify($1, $2)", channel, payload)


@asynccontextmanager
async def listening(url: str, pool: Any) -> AsyncIterator[Heard]:
    notices = PostgresNotices(url, CHANNEL, notifying(pool))
    try:
        yield Heard(notices)
    finally:
        await notices.close()


@pytest.fixture
async def heard(database: Database, pool: Any) -> AsyncIterator[Heard]:
    async with listening(database.url("kith_event"), pool) as hearing:
        await hearing.until_proved()
        yield hearing


async def test_a_notice_is_told_with_its_payload(heard: Heard, pool: Any):
    await notifying(pool)(CHANNEL, "hello")
    await heard.until(lambda: bool(heard.payloads))

    assert heard.payloads == ["hello"]


async def test_what_was_committed_before_a_proof_began_was_told_before_the_proof(
    heard: Heard, pool: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(listener, "BEAT_SECONDS", 0)
    committed: list[float] = []
    stop = False

    async def commit() -> None:
        while not stop:
            number = len(committed)
            committed.append(math.inf)
            await notifying(pool)(CHANNEL, str(number))
            committed[number] = time.monotonic()

    # One writer, so that the numbers are in the order of commits.
    writer = asyncio.create_task(commit())
    proofs = due = 0
    proved_at = heard.notices.proved_at
    while proofs < 1000:
        if heard.notices.proved_at != proved_at:
            proved_at = heard.notices.proved_at
            proofs += 1
            while committed[due] <= proved_at:
                due += 1
            assert len(heard.payloads) >= due
        await asyncio.sleep(0)
    stop = True
    await writer

    await heard.until(lambda: len(heard.payloads) == len(committed))
    assert heard.payloads == [str(number) for number in range(len(committed))]
    assert len(committed) > 500


async def test_a_commit_that_waits_holds_up_no_proof_and_is_told_once_it_is_there(
    heard: Heard, pool: Any
):
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("SELECT pg_notify($1, 'late')", CHANNEL)
            await heard.until_proved()
            assert heard.payloads == []
        await heard.until_proved()

    assert heard.payloads == ["late"]


async def test_a_connection_that_is_ended_is_made_again_and_the_gap_is_told(
    heard: Heard, pool: Any, database: Database
):
    before = heard.losses
    async with administrator(database) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'kith listener' AND datname = current_database()"
        )
    await heard.until(lambda: heard.losses >= before + 2)
    await heard.until_proved()
    await notifying(pool)(CHANNEL, "again")
    await heard.until(lambda: heard.payloads == ["again"])


async def test_a_connection_that_hangs_proves_nothing_and_is_made_again(
    database: Database, pool: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(listener, "TOKEN_SECONDS", 0.3)
    monkeypatch.setattr(listener, "CONNECT_SECONDS", 0.3)
    async with (
        proxy_to(database.url("kith_event")) as proxy,
        listening(proxy.url, pool) as heard,
    ):
        await heard.until_proved()
        before = heard.losses
        proxy.flowing.clear()
        hung_at = time.monotonic()

        await heard.until(lambda: heard.losses > before)
        assert heard.notices.proved_at == -math.inf
        assert time.monotonic() - hung_at < 2
        proxy.flowing.set()
        await heard.until_proved()


async def test_a_server_that_cannot_be_reached_is_tried_until_it_can(database: Database, pool: Any):
    async with proxy_to(database.url("kith_event")) as proxy:
        proxy.refusing = True
        async with listening(proxy.url, pool) as heard:
            with pytest.raises(TimeoutError):
                await heard.until(lambda: heard.notices.proved_at > 0, seconds=0.5)
            proxy.refusing = False
            await heard.until_proved()


async def test_a_way_in_that_fails_condemns_no_connection_but_proves_nothing(
    database: Database, pool: Any
):
    is_down = False

    async def notify(channel: str, payload: str) -> None:
        if is_down:
            raise Unavailable("the store cannot be reached")
        await notifying(pool)(channel, payload)

    notices = PostgresNotices(database.url("kith_event"), CHANNEL, notify)
    heard = Heard(notices)
    try:
        last = await heard.until_proved()
        losses = heard.losses
        is_down = True
        await notifying(pool)(CHANNEL, "still heard")
        await heard.until(lambda: bool(heard.payloads))
        last = notices.proved_at
        with pytest.raises(TimeoutError):
            await heard.until(lambda: notices.proved_at > last, seconds=0.6)
        is_down = False
        await heard.until_proved()
        assert heard.losses == losses
    finally:
        await notices.close()


async def test_a_pooler_that_does_not_pass_notifications_on_is_never_believed(
    database: Database, pool: Any, monkeypatch: pytest.MonkeyPatch
):
    """As behind a pooler by transaction: LISTEN is answered, and whoever got it is somebody
    else's connection by then."""
    monkeypatch.setattr(listener, "TOKEN_SECONDS", 0.2)
    connects = itertools.count()

    async def listen_elsewhere(connection: Any, channel: str, callback: Any) -> None:
        await connection.fetch("SELECT 1")
        next(connects)

    monkeypatch.setattr(asyncpg.Connection, "add_listener", listen_elsewhere)
    async with listening(database.url("kith_event"), pool) as heard:
        with pytest.raises(TimeoutError):
            await heard.until(lambda: heard.notices.proved_at > 0, seconds=1)

    assert next(connects) >= 4


async def test_while_nobody_asks_there_are_few_proofs_and_asking_brings_one(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(listener, "ASKED_SECONDS", 0)
    await asyncio.sleep(2 * listener.BEAT_SECONDS)
    before = heard.notices._proved_at
    await asyncio.sleep(3 * listener.BEAT_SECONDS)
    assert heard.notices._proved_at == before

    asked_at = time.monotonic()
    await heard.until_proved()
    assert time.monotonic() - asked_at < 1


async def test_a_callback_that_fails_keeps_nobody_else_from_being_told(heard: Heard, pool: Any):
    def fail(_: str) -> None:
        raise RuntimeError("not my day")

    others: list[str] = []
    heard.notices.on_notice(fail)
    heard.notices.on_notice(others.append)
    await notifying(pool)(CHANNEL, "one")
    await heard.until(lambda: others == ["one"])


async def test_a_server_that_is_killed_and_comes_back_is_listened_to_again(tmp_path_factory: Any):
    home = tmp_path_factory.mktemp("pg")
    async with (
        EmbeddedPostgres(Path(home), settings=FAST) as postgres,
        asyncpg.create_pool(postgres.url(), min_size=0, max_size=2) as pool,
        listening(postgres.url(), pool) as heard,
    ):
        await heard.until_proved()
        before = heard.losses
        # A backend that dies by a signal takes all others along, and the server recovers:
        # a crash and a restart in one.
        os.kill(await pool.fetchval("SELECT pg_backend_pid()"), SIGKILL)
        await heard.until(lambda: heard.losses > before)
        await heard.until_proved()
        await notifying(pool)(CHANNEL, "back")
        await heard.until(lambda: heard.payloads == ["back"])


async def test_a_service_gets_its_notices_from_its_store_and_they_end_with_it(
    database: Database,
):
    async with store_of(database, "identity") as store:
        notices = store.listen(CHANNEL)
        assert isinstance(notices, PostgresNotices)
        heard = Heard(notices)
        await heard.until_proved()

    assert notices.proved_at == -math.inf
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("listener")]


def test_nobody_notifying_proves_nothing():
    assert NoNotices().proved_at == -math.inf
