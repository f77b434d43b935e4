"""Erasures that start while something else is under way, over both transports."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from identity_svc.adapters.sql_erasure import SqlErasureStore
from identity_svc.adapters.sql_groups import SqlGroupStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.adapters.sql_sessions import SqlSessionStore
from identity_svc.adapters.sql_verification import SqlVerificationStore
from identity_svc.domain.erasure import PersonErasing
from identity_svc.domain.people import Identity, LinkNotFound, PersonNotFound
from identity_svc.domain.sessions import NewSession
from identity_svc.domain.verification import NewVerification
from identity_svc.ports.erasure import ErasureStore
from identity_svc.ports.people import IdentityStore
from svckit import ids, sql
from tests.support.cluster import Database, administrator
from tests.support.erasure import finished, started
from tests.support.identity import an_account, registered
from tests.support.onboarding import a_group, an_attempt, merge, outcomes_of, unmerge


@pytest.fixture
def schema() -> str:
    return "identity"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> ErasureStore:
    """A store without erasures, over each transport in turn."""
    return SqlErasureStore(functions)


@pytest.fixture
def people(functions: sql.SqlFunctions) -> IdentityStore:
    return SqlIdentityStore(functions)


@pytest.fixture
async def mia(people: IdentityStore) -> Identity:
    return await registered(people, account=an_account("mia"))


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    async with administrator(database) as connection:
        yield connection


async def blocked(admin: Any, calls: int = 1) -> None:
    """Return when that many calls wait for a lock."""
    async with asyncio.timeout(10):
        while calls > await admin.fetchval(
            """SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'"""
        ):
            await asyncio.sleep(0.005)


async def test_what_was_under_way_is_part_of_the_erasure(store, people, mia, admin, database):
    alias, link_id = await registered(people), ids.new()

    async with administrator(database) as writer:
        transaction = writer.transaction()
        await transaction.start()
        await merge(writer, alias.person_id, mia.person_id)
        await writer.execute(
            "SELECT identity.link_identity($1, $2, 'web', 'mia', 'mia', true)",
            link_id,
            mia.person_id,
        )
        starting = asyncio.create_task(started(store, mia.person_id))
        await blocked(admin)
        await transaction.commit()
    erasure = await starting

    assert set(erasure.person_ids) == {mia.person_id, alias.person_id}
    assert {alias.link_id, link_id} < set(erasure.subject_ids)
    assert [isinstance(each, LinkNotFound) for each in await people.resolve(
        [an_account("mia", "web"), an_account("mia")]
    )] == [True, True]  # fmt: skip


async def test_whoever_is_unmerged_in_time_is_not_erased(store, people, mia, admin, database):
    alias = await registered(people)
    await merge(admin, alias.person_id, mia.person_id)

    async with administrator(database) as writer:
        transaction = writer.transaction()
        await transaction.start()
        await unmerge(writer, alias.person_id)
        starting = asyncio.create_task(started(store, mia.person_id))
        await blocked(admin)
        await transaction.commit()
    erasure = await starting

    assert erasure.person_ids == [mia.person_id]
    assert alias.link_id not in erasure.subject_ids


async def test_what_comes_while_an_erasure_starts_is_refused(
    store, people, mia, functions, admin, database
):
    groups, sessions = SqlGroupStore(functions), SqlSessionStore(functions)
    verifications = SqlVerificationStore(functions)
    group = await a_group(groups)
    session = (await sessions.create(NewSession({"a": 1}), call_id=ids.new())).session
    verification = NewVerification(mia.person_id, an_account())
    await verifications.start(verification)

    async with administrator(database) as eraser:
        transaction = eraser.transaction()
        await transaction.start()
        await eraser.execute("SELECT identity.start_erasure($1, $2)", ids.new(), mia.person_id)
        calls: list[Awaitable[Any]] = [
            groups.add(group.group_id, mia.person_id, role="", call_id=ids.new()),
            sessions.claim(session.session_id, mia.person_id, new_etag=ids.new()),
            verifications.confirm(an_attempt(verification)),
        ]
        waiting = asyncio.create_task(outcomes_of(calls))
        await blocked(admin, len(calls))
        await transaction.commit()
    answers, errors = await waiting

    assert answers == []
    assert [type(error) for error in errors] == [PersonErasing] * len(calls)
    assert (await groups.get(group.group_id)).member_count == 0


async def test_erasing_people_who_change_at_once_ends_whole(store, people, functions, admin):
    groups = SqlGroupStore(functions)
    crowd = [await registered(people) for _ in range(12)]
    group = await a_group(groups)
    for source, target in zip(crowd[::2], crowd[1::2], strict=True):
        await merge(admin, source.person_id, target.person_id)

    _, errors = await outcomes_of(
        [
            call
            for identity in crowd
            for call in (
                groups.add(group.group_id, identity.person_id, role="", call_id=ids.new()),
                finished(store, identity.person_id),
                groups.remove(group.group_id, identity.person_id),
            )
        ]
    )

    assert {type(error) for error in errors} <= {PersonErasing, PersonNotFound}
    assert await admin.fetchval("SELECT count(*) FROM identity.identity_registry") == 0
    assert await admin.fetchval("SELECT count(*) FROM identity.group_members") == 0
    assert await admin.fetchval("SELECT count(*) FROM identity.erasures") == 6


async def test_accounts_that_come_back_while_people_are_erased_are_new_people(store, people):
    accounts = [an_account() for _ in range(12)]
    before = [await registered(people, account=account) for account in accounts]

    outcomes = await asyncio.gather(
        *(
            call
            for identity, account in zip(before, accounts, strict=True)
            for call in (finished(store, identity.person_id), registered(people, account=account))
        )
    )
    after = await people.resolve(accounts)

    gone = {identity.person_id for identity in before}
    for early, account, resolved in zip(outcomes[1::2], accounts, after, strict=True):
        newcomer = await registered(people, account=account)
        assert newcomer.person_id not in gone
        # Who was registered while it began is who is there, unless that was still the old one.
        assert early.person_id in gone or early == resolved == newcomer
