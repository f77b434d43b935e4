"""Who is told of what: every change of an answer, and nothing of what is written all the time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from identity_svc.adapters.sql_consent import SqlConsentStore
from identity_svc.adapters.sql_erasure import SqlErasureStore
from identity_svc.adapters.sql_links import SqlLinkStore
from identity_svc.adapters.sql_merges import SqlMergeStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.cache import CHANNEL
from identity_svc.domain.people import Identity
from svckit import ids, sql
from tests.support.cluster import Database, administrator
from tests.support.erasure import STAGES
from tests.support.identity import a_registration, an_account, linked, registered

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
async def functions(database: Database) -> AsyncIterator[sql.SqlFunctions]:
    async with sql.open_pool(database.url("kith_identity")) as pool:
        yield sql.AsyncpgFunctions(pool, "identity")


@pytest.fixture
def store(functions: sql.SqlFunctions) -> SqlIdentityStore:
    return SqlIdentityStore(functions)


@pytest.fixture
def links(functions: sql.SqlFunctions) -> SqlLinkStore:
    return SqlLinkStore(functions)


@pytest.fixture
def merges(functions: sql.SqlFunctions) -> SqlMergeStore:
    return SqlMergeStore(functions)


@pytest.fixture
async def mia(store: SqlIdentityStore) -> Identity:
    return await registered(store)


@pytest.fixture
async def max_(store: SqlIdentityStore) -> Identity:
    return await registered(store)


async def test_what_is_written_all_the_time_tells_nobody(store, links, told):
    consenting = a_registration(consent={"messages": "granted"})
    outcomes = await store.register([a_registration(), consenting])
    await store.register([consenting])
    people = [outcome.identity.person_id for outcome in outcomes]
    await store.confirm([outcome.identity.link_id for outcome in outcomes])
    # The first of an hour, which writes one more column.
    await store.touch(people)
    await store.update(people[0], {"name": "Mia"}, etag=None, new_etag=ids.new())
    await linked(links, people[0], verified=True)

    assert await told.so_far() == []


async def test_a_decision_is_told_by_the_persons_id(store, told, mia):
    account = an_account(mia.platform_id)
    await store.register([a_registration(account, consent={"messages": "denied"})])

    assert await told.so_far() == [mia.person_id]


async def test_a_merge_and_its_undoing_are_told_by_whoever_was_the_person(
    store, merges, told, mia, max_
):
    eva = await registered(store)
    for source, target in ((mia, max_), (max_, eva)):
        await merges.merge(source.person_id, target.person_id, reason="", merge_id=ids.new())
        assert {source.person_id, target.person_id} == set(await told.so_far())
    await merges.unmerge(merge_id=None, source_person_id=mia.person_id, unmerge_id=ids.new())

    assert {mia.person_id, eva.person_id} == set(await told.so_far())


async def test_a_link_with_proof_tells_of_the_merge_and_of_the_link(links, told, mia, max_):
    account = an_account(max_.platform_id)
    made = await linked(links, mia.person_id, account, verified=True)

    assert made.merge is not None
    assert set(await told.so_far()) == {mia.person_id, max_.person_id, max_.link_id}


async def test_a_decision_of_an_alias_is_told_by_who_they_are_now(
    functions, merges, told, mia, max_
):
    await merges.merge(mia.person_id, max_.person_id, reason="", merge_id=ids.new())
    await told.so_far()
    await SqlConsentStore(functions).set(mia.person_id, {"messages": "denied"}, source="")

    assert await told.so_far() == [max_.person_id]


async def test_an_erasure_tells_of_links_that_end_and_of_all_that_goes(
    functions, merges, told, mia, max_
):
    await merges.merge(mia.person_id, max_.person_id, reason="", merge_id=ids.new())
    await told.so_far()
    erasures = SqlErasureStore(functions)

    erasure = (await erasures.start(mia.person_id, erasure_id=ids.new())).erasure
    assert set(await told.so_far()) == {mia.link_id, max_.link_id}
    for stage in STAGES:
        await erasures.record(erasure.erasure_id, stage, erased={}, remaining={})
    assert set(await told.so_far()) == {mia.link_id, max_.link_id, max_.person_id}


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
