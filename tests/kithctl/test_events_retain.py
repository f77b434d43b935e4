"""`kith events retain` drops old days through the event service."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from event_svc.__main__ import assemble
from tests.support.cluster import administrator
from tests.support.command import kith
from tests.support.event_days import fill_days
from tests.support.services import running

TODAY = "(now() AT TIME ZONE 'UTC')::date"


@pytest.fixture
async def address(database) -> AsyncIterator[str]:
    """The event service, which wants a token, over the last six days."""
    async with administrator(database) as admin:
        await fill_days(admin, f"{TODAY} - 5", 6, 10)
    async with running(assemble, database, "event", token="s3cret") as address:
        yield address


def ago(days: int) -> str:
    return (datetime.now(UTC).date() - timedelta(days=days)).isoformat()


async def test_old_days_go_and_a_repeat_changes_nothing(address, tmp_path):
    retain = ("events", "retain", "--days", 2)
    environment = {"KITH_EVENT_ADDRESS": address, "KITH_SERVICE_TOKEN": "s3cret"}

    planned = await kith(*retain, "--drop-keys", "--dry-run", home=tmp_path, **environment)
    done = await kith(*retain, "--drop-keys", "--json", home=tmp_path, **environment)
    again = await kith(*retain, home=tmp_path, **environment)

    gone = {
        "dropped_days": [ago(n) for n in (5, 4, 3)], "dropped_events": 30, "dropped_keys": 30
    }  # fmt: skip
    assert (planned.status, planned.summary) == (0, {"dry_run": True, **gone})
    assert (done.status, done.summary) == (0, {"dry_run": False, **gone})
    assert again.summary == {
        "dry_run": False, "dropped_days": [], "dropped_events": 0, "dropped_keys": 0
    }  # fmt: skip


async def test_the_service_of_a_running_kith_is_found(address, tmp_path):
    (tmp_path / "addresses.json").write_text(
        json.dumps({"processes": {"event": {"address": address}}})
    )

    found = await kith("events", "retain", "--days", 9, home=tmp_path, KITH_SERVICE_TOKEN="s3cret")

    assert (found.status, found.errors) == (0, "")


async def test_what_is_wrong_is_one_line(address, tmp_path):
    away = await kith("events", "retain", "--days", 9, "--service", "127.0.0.1:1", home=tmp_path)
    unknown = await kith("events", "retain", "--days", 9, "--service", address, home=tmp_path)
    never = await kith("events", "retain", "--days", 0, "--service", address, home=tmp_path)

    assert (away.status, away.errors) == (1, "kith: no event service answers at 127.0.0.1:1\n")
    assert unknown.status == 1
    assert unknown.errors == (
        f"kith: the event service at {address} wants its token: set KITH_SERVICE_TOKEN\n"
    )
    assert never.status == 2
