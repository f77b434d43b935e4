"""Notices over Realtime: told after each update, and watched for again whatever goes wrong."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable

import pytest
from starlette.applications import Starlette

from event_svc.settings import Settings
from svckit import realtime
from svckit.listener import NoNotices
from svckit.realtime import RealtimeNotices
from svckit.stores import open_store
from tests.support.cluster import Database, administrator
from tests.support.http import serving
from tests.support.postgrest import KEY, Postgrest
from tests.support.realtime import Realtime

# The client reads it wherever a connection ends.
pytestmark = pytest.mark.filterwarnings("ignore:ConnectionClosed.code:DeprecationWarning")

HEAD = {"is_head": True, "position": 7}


class Heard:
    """What a watcher tells."""

    def __init__(self, notices: RealtimeNotices) -> None:
        self.notices = notices
        self.payloads: list[str] = []
        self.losses = 0
        notices.on_notice(self.payloads.append)
        notices.on_lost(self._lost)

    def _lost(self) -> None:
        self.losses += 1

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.005)


@pytest.fixture
async def server() -> AsyncIterator[Realtime]:
    """A Realtime of its own; `url` is where its Supabase would be."""
    emulator = Realtime(KEY)
    async with serving(Starlette(routes=emulator.routes), websockets=True) as emulator.url:
        yield emulator


@pytest.fixture(params=[None])
async def heard(
    server: Realtime, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Heard]:
    """A watcher; the fixture's parameter names what is wrong with the server at first."""
    monkeypatch.setattr(realtime, "CLOSE_SECONDS", 0.2)
    monkeypatch.setattr(realtime, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(realtime, "LONGEST_PAUSE", 0.1)
    if request.param:
        # What goes well may take its time on a busy machine.
        monkeypatch.setattr(realtime, "JOIN_SECONDS", 0.3)
        setattr(server, request.param, True)
    notices = RealtimeNotices(server.url, KEY, "event", "log_head")
    try:
        yield Heard(notices)
    finally:
        await notices.close()


async def test_an_update_of_the_table_is_told_and_proves_nothing(server: Realtime, heard: Heard):
    await heard.until(lambda: server.watchers == 1)
    await server.announce("event", "log_head", HEAD)
    await server.announce("event", "another_table", HEAD)
    await server.announce("event", "log_head", HEAD)

    await heard.until(lambda: heard.payloads == ["", ""])
    assert heard.notices.proved_at == -math.inf
    [binding] = server.joins[0]["config"]["postgres_changes"]
    assert {key: binding[key] for key in ("event", "schema", "table")} == {
        "event": "UPDATE", "schema": "event", "table": "log_head",
    }  # fmt: skip


async def test_readers_are_woken_once_it_watches_since_it_did_not_before(
    server: Realtime, heard: Heard
):
    await heard.until(lambda: heard.losses == 1)
    assert server.watchers == 1


async def test_a_connection_that_is_cut_is_made_again(server: Realtime, heard: Heard):
    await heard.until(lambda: heard.losses == 1)
    await server.cut()
    # Once when it is gone, once when it is back.
    await heard.until(lambda: heard.losses == 3)

    await server.announce("event", "log_head", HEAD)
    await heard.until(lambda: heard.payloads == [""])


@pytest.mark.parametrize("heard", ["refusing", "unreachable", "silent", "detached"], indirect=True)
async def test_a_realtime_that_fails_is_tried_until_it_works(server: Realtime, heard: Heard):
    await heard.until(lambda: heard.losses >= 2)
    assert server.watchers == 0

    server.refusing = server.unreachable = server.silent = server.detached = False
    await heard.until(lambda: server.watchers == 1)
    await server.announce("event", "log_head", HEAD)
    await heard.until(lambda: heard.payloads == [""])


async def test_a_callback_that_fails_does_not_end_the_watch(server: Realtime, heard: Heard):
    def fail(_: str) -> None:
        raise RuntimeError("not my day")

    heard.notices.on_notice(fail)
    await heard.until(lambda: server.watchers == 1)
    for _ in range(3):
        await server.announce("event", "log_head", HEAD)

    await heard.until(lambda: len(heard.payloads) == 3)


async def test_the_key_is_in_no_log(
    server: Realtime, heard: Heard, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    await heard.until(lambda: server.watchers == 1)
    server.unreachable = True
    await server.cut()
    await heard.until(lambda: heard.losses >= 4)

    ours = [record for record in caplog.records if not record.name.startswith("uvicorn")]
    assert KEY not in "".join(record.getMessage() for record in ours)


async def test_over_rest_a_service_gets_its_notices_of_a_table_and_none_of_a_channel_alone(
    postgrest: Postgrest, database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("KITH_DATABASE_URL", raising=False)
    monkeypatch.setenv("SUPABASE_URL", postgrest.url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", KEY)
    following = postgrest.realtime.following(database.url(), "kith_event_log", "event", "log_head")
    async with open_store(Settings(), "event_svc", "event") as store, following:
        assert isinstance(store.listen("kith_event_log"), NoNotices)
        notices = store.listen("kith_event_log", table="log_head")
        assert isinstance(notices, RealtimeNotices)
        heard = Heard(notices)
        await heard.until(lambda: postgrest.realtime.watchers == 1)
        async with administrator(database) as connection:
            await connection.execute("NOTIFY kith_event_log")
        await heard.until(lambda: heard.payloads == [""])
