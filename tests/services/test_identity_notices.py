"""Who is told of what: every change of an answer, and nothing of what is written all the time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.cache import CHANNEL
from identity_svc.domain.people import Identity
from svckit import ids, sql
from tests.support.cluster import Database, administrator
from tests.support.identity import a_registration, an_account, registered

DECIDE = "UPDATE identity.identity_registry SET consent_version = consent_version + 1"


class Told:
    """A connection that listens, and arranges what no function does."""

    def __init__(self, connection: Any) -> None:
        self.execute = connection.execute
        self._connection = connection
        self._payloads: list[str] = []
        self._end = asyncio.Event()

    async def start(self) -> None:
        await self._connection.add_listener(CHANNEL, self._on_notice)

    async def so_far(self) -> list[str]:
        """What was told since the last time."""
        self._end.clear()
        await self._connection.execute(f"NOTIFY {CHANNEL}, 'end'")
        async with asyncio.timeout(5):
            await self._end.wait()
        payloads, self._payloads = self._payloads, []
        return payloads

    def _on_notice(self, _: object, __: int, ___: str, payload: str) -> None:
        if payload == "end":
            self._end.set()
        else:
            self._payloads.append(payload)


@pytest.fixture
async def told(database: Database) -> AsyncIterator[Told]:
    async with administrator(database) as connection:
        listening = Told(connection)
        await listening.start()
        yield listening


@pytest.fixture
async def store(database: Database) -> AsyncIterator[SqlIdentityStore]:
    async with sql.open_pool(database.url("kith_identity")) as pool:
        yield SqlIdentityStore(sql.AsyncpgFunctions(pool, "identity"))


@pytest.fixture
async def mia(store: SqlIdentityStore) -> Identity:
    return await registered(store)


@pytest.fixture
async def max_(store: SqlIdentityStore) -> Identity:
    return await registered(store)


async def test_what_is_written_all_the_time_tells_nobody(store, told):
    consenting = a_registration(consent={"messages": "granted"})
    outcomes = await store.register([a_registration(), consenting])
    await store.register([consenting])
    people = [outcome.identity.person_id for outcome in outcomes]
    await store.confirm([outcome.identity.link_id for outcome in outcomes])
    await store.touch(people)
    await store.update(people[0], {"name": "Mia"}, etag=None, new_etag=ids.new())
    await store.link(people[0], an_account(), verified=True, link_id=ids.new())

    assert await told.so_far() == []


async def test_a_decision_is_told_by_the_persons_id(store, told, mia):
    account = an_account(mia.platform_id)
    await store.register([a_registration(account, consent={"messages": "denied"})])

    assert await told.so_far() == [mia.person_id]


async def test_a_merge_and_its_undoing_are_told_by_both_people(told, mia, max_):
    both = {mia.person_id, max_.person_id}
    for root in (max_.person_id, mia.person_id):
        await told.execute(
            f"UPDATE identity.identity_registry SET root_id = '{root}' "
            f"WHERE person_id = '{mia.person_id}'"
        )
        [payload] = await told.so_far()
        assert set(payload.split(",")) == both


async def test_a_decision_of_an_alias_is_told_by_who_they_are_now(told, mia, max_):
    where = f"WHERE person_id = '{mia.person_id}'"
    await told.execute(
        f"UPDATE identity.identity_registry SET root_id = '{max_.person_id}' {where}"
    )
    await told.so_far()
    await told.execute(f"UPDATE identity.identity_registry SET consent_version = 5 {where}")

    assert await told.so_far() == [max_.person_id]


@pytest.mark.parametrize(
    "change",
    ["ended_at = now()", "verified = true", "person_id = '{other}'", "platform_id = 'renamed'"],
)
async def test_a_link_that_ends_or_moves_is_told_by_its_id(change, told, mia, max_):
    change = change.format(other=max_.person_id)
    await told.execute(
        f"UPDATE identity.identity_links SET {change} WHERE link_id = '{mia.link_id}'"
    )

    assert await told.so_far() == [mia.link_id]


async def test_what_is_deleted_is_told(told, mia):
    await told.execute(f"DELETE FROM identity.identity_links WHERE link_id = '{mia.link_id}'")
    assert await told.so_far() == [mia.link_id]
    await told.execute(
        f"DELETE FROM identity.identity_registry WHERE person_id = '{mia.person_id}'"
    )
    assert await told.so_far() == [mia.person_id]


async def test_somebody_who_is_an_alias_from_the_start_is_told(told, mia):
    await told.execute(
        "INSERT INTO identity.identity_registry (person_id, root_id) "
        f"VALUES ('{ids.new()}', '{mia.person_id}')"
    )

    assert await told.so_far() == [mia.person_id]


@pytest.mark.parametrize(("table", "name"), [("registry", "person_id"), ("links", "link_id")])
async def test_a_column_that_is_added_later_counts(table, name, told, mia):
    await told.execute(f"ALTER TABLE identity.identity_{table} ADD COLUMN since text")
    await told.execute(f"UPDATE identity.identity_{table} SET since = 'now'")

    assert await told.so_far() == [getattr(mia, name)]


async def test_a_change_that_changes_nothing_tells_nobody(told, mia):
    await told.execute("UPDATE identity.identity_registry SET consent_version = consent_version")
    await told.execute("UPDATE identity.identity_links SET verified = verified")

    assert await told.so_far() == []


async def test_many_changes_at_once_are_told_as_everything(store, told):
    await store.register([a_registration() for _ in range(300)])
    # A new transaction names again.
    for _ in range(2):
        await told.execute(DECIDE)
        payloads = await told.so_far()

        assert payloads.count("*") == 1
        assert len(payloads) == 101


async def test_changes_are_counted_over_all_calls_of_a_transaction(store, told):
    await store.register([a_registration() for _ in range(40)])
    # A function that sets something of its own sets what is around it back at its end.
    await told.execute(
        f"CREATE FUNCTION identity.decide() RETURNS void LANGUAGE sql SET search_path = '' "
        f"AS $$ {DECIDE} $$"
    )
    await told.execute("BEGIN; " + "SELECT identity.decide(); " * 4 + "COMMIT")
    payloads = await told.so_far()

    # Those of the first forty that were told again are told once.
    assert sorted(payloads, key=len)[0] == "*"
    assert len(payloads) == 41
