"""What every ErasureStore does, whichever way it reaches its database."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from identity_svc.adapters.sql_erasure import SqlErasureStore
from identity_svc.adapters.sql_groups import SqlGroupStore
from identity_svc.adapters.sql_links import SqlLinkStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.adapters.sql_sessions import SqlSessionStore
from identity_svc.adapters.sql_verification import SqlVerificationStore
from identity_svc.domain.erasure import (
    Erasure,
    ErasureNotFound,
    ErasureOutOfOrder,
    PersonErasing,
)
from identity_svc.domain.groups import NewGroup
from identity_svc.domain.people import Identity, LinkNotFound, PersonNotFound
from identity_svc.domain.places import Place
from identity_svc.domain.sessions import NewSession, SessionNotFound
from identity_svc.domain.verification import NewVerification, VerificationNotFound
from identity_svc.ports.erasure import ErasureStore
from identity_svc.ports.links import LinkStore
from identity_svc.ports.people import IdentityStore
from svckit import ids, sql
from tests.support.cluster import Database, administrator
from tests.support.erasure import STAGES, finished, started
from tests.support.identity import an_account, linked, registered
from tests.support.onboarding import a_group, an_attempt, join, merge, unmerge


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
def links(functions: sql.SqlFunctions) -> LinkStore:
    return SqlLinkStore(functions)


@pytest.fixture
async def mia(people: IdentityStore) -> Identity:
    return await registered(people, account=an_account("mia"), consent={"messages": "granted"})


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    async with administrator(database) as connection:
        yield connection


# Starting


async def test_an_erasure_names_every_id_and_subject_of_the_whole_person(
    store, people, links, mia, admin
):
    alias, third, other = [await registered(people) for _ in range(3)]
    more = await linked(links, mia.person_id, verified=True)
    await merge(admin, third.person_id, alias.person_id)
    await merge(admin, alias.person_id, mia.person_id)

    outcome = await store.start(third.person_id, erasure_id=ids.new())

    erasure = outcome.erasure
    whole = {mia.person_id, alias.person_id, third.person_id}
    assert outcome.started
    assert set(erasure.person_ids) == whole
    assert set(erasure.subject_ids) == whole | {
        mia.link_id, alias.link_id, third.link_id, more.link.link_id,
    }  # fmt: skip
    assert (erasure.steps, erasure.finished_at) == ([], None)
    assert await store.get(erasure.erasure_id) == erasure
    for person_id in whole:
        assert await store.of_person(person_id) == erasure
    with pytest.raises(ErasureNotFound):
        await store.of_person(other.person_id)


async def test_from_then_on_their_accounts_are_free(store, people, links, mia):
    await started(store, mia.person_id)

    [resolved] = await people.resolve([an_account("mia")])
    again = await registered(people, account=an_account("mia"))

    assert isinstance(resolved, LinkNotFound)
    assert again.person_id != mia.person_id
    [link] = await links.links(mia.person_id, after=None, limit=10)
    assert link.ended_at is not None


async def test_nothing_is_left_to_be_logged_about_them(store, people, mia):
    await started(store, mia.person_id)

    assert await people.pending(created_before=None, after=None, limit=10) == []


async def test_starting_again_answers_the_erasure_that_is_there(store, mia):
    erasure_id = ids.new()
    first = await store.start(mia.person_id, erasure_id=erasure_id)
    of_the_seam = await store.start(mia.person_id, erasure_id=erasure_id)
    of_the_client = await store.start(mia.person_id, erasure_id=ids.new())
    done = await finished(store, mia.person_id)
    afterwards = await store.start(mia.person_id, erasure_id=ids.new())

    assert [each.started for each in (first, of_the_seam, of_the_client, afterwards)] == [
        True, True, False, False,
    ]  # fmt: skip
    assert first.erasure == of_the_client.erasure
    assert afterwards.erasure == done


async def test_of_many_who_start_at_once_one_does(store, people, mia, admin):
    alias = await registered(people)
    await merge(admin, alias.person_id, mia.person_id)

    outcomes = await asyncio.gather(
        *(
            store.start(person_id, erasure_id=ids.new())
            for person_id in [mia.person_id, alias.person_id] * 8
        )
    )

    assert sorted(outcome.started for outcome in outcomes) == [False] * 15 + [True]
    assert len({outcome.erasure.erasure_id for outcome in outcomes}) == 1


async def test_nobody_is_erased_who_was_never_there(store):
    with pytest.raises(PersonNotFound):
        await store.start(ids.new(), erasure_id=ids.new())


async def test_nothing_about_them_changes_any_more(store, people, mia, functions):
    groups, verifications = SqlGroupStore(functions), SqlVerificationStore(functions)
    sessions = SqlSessionStore(functions)
    group = await a_group(groups, mia.person_id)
    session = (await sessions.create(NewSession({"a": 1}), call_id=ids.new())).session
    verification = NewVerification(mia.person_id, an_account())
    await verifications.start(verification)
    erasure = await started(store, mia.person_id)

    for call in (
        groups.create(NewGroup("couple", person_ids=[mia.person_id]), call_id=ids.new()),
        groups.add(group.group_id, mia.person_id, role="owner", call_id=ids.new()),
        groups.remove(group.group_id, mia.person_id),
        sessions.claim(session.session_id, mia.person_id, new_etag=ids.new()),
        verifications.start(NewVerification(mia.person_id, an_account())),
        verifications.confirm(an_attempt(verification)),
    ):
        with pytest.raises(PersonErasing) as raised:
            await call
        assert raised.value.metadata == {
            "person_id": mia.person_id, "erasure_id": erasure.erasure_id,
        }  # fmt: skip


# Steps


async def test_steps_are_recorded_in_their_order_and_once(store, mia):
    erasure_id = (await started(store, mia.person_id)).erasure_id
    counts = {"erased": {"items": 7, "files": 0}, "remaining": {"items": 0}}

    for stage in STAGES[1:]:
        with pytest.raises(ErasureOutOfOrder):
            await store.record(erasure_id, stage, **counts)
    first = await store.record(erasure_id, "knowledge", **counts)
    again = await store.record(erasure_id, "knowledge", erased={"items": 1}, remaining={})
    with pytest.raises(ErasureOutOfOrder):
        await store.record(erasure_id, "identity", **counts)

    [step] = first.steps
    assert (step.stage, step.erased, step.remaining) == ("knowledge", *counts.values())
    assert again == first == await store.get(erasure_id)


async def test_the_last_step_erases_all_that_identity_holds(store, people, mia, functions, admin):
    groups, sessions = SqlGroupStore(functions), SqlSessionStore(functions)
    verifications = SqlVerificationStore(functions)
    alias, max_ = await registered(people), await registered(people)
    await merge(admin, alias.person_id, mia.person_id)
    group = await a_group(groups, mia.person_id, alias.person_id)
    await join(groups, group, max_.person_id)
    session = (await sessions.create(NewSession({"a": 1}), call_id=ids.new())).session
    await sessions.claim(session.session_id, alias.person_id, new_etag=ids.new())
    verification = NewVerification(mia.person_id, an_account())
    await verifications.start(verification)
    await verifications.confirm(an_attempt(verification))

    erasure = await finished(store, mia.person_id)

    step = erasure.steps[-1]
    assert step.erased == {
        "persons": 2, "links": 3, "consent_changes": 1, "memberships": 2, "sessions": 1,
        "merges": 1, "verifications": 1,
    }  # fmt: skip
    assert step.remaining == dict.fromkeys(step.erased, 0)
    assert erasure.finished_at is not None
    assert [each.stage for each in erasure.steps] == list(STAGES)
    gone = await people.get([mia.person_id, alias.person_id])
    assert [type(each) for each in gone] == [PersonNotFound] * 2
    assert (await groups.get(group.group_id)).member_count == 1
    with pytest.raises(SessionNotFound):
        await sessions.get(session.session_id)
    with pytest.raises(VerificationNotFound):
        await verifications.confirm(an_attempt(verification))
    assert await store.of_person(alias.person_id) == erasure


async def test_what_stays_of_them_is_ids_and_counts(store, people, admin):
    account = an_account("a-telling-name")
    somebody = await registered(people, account=account, metadata={"name": "a telling name"})
    await finished(store, somebody.person_id)

    tables = await admin.fetch(
        """SELECT c.oid::regclass::text AS name FROM pg_class c
           WHERE c.relnamespace = 'identity'::regnamespace AND c.relkind = 'r'
             AND c.relname <> 'schema_migrations'"""
    )
    left = [
        row
        for table in tables
        for row in await admin.fetch(f"SELECT t::text AS text FROM {table['name']} t")
    ]

    assert left
    assert [row for row in left if "telling" in row["text"]] == []


async def test_a_proof_that_merged_them_with_somebody_else_is_erased_with_either(
    store, people, mia, functions, admin
):
    verifications = SqlVerificationStore(functions)
    for number in range(2):
        holder = await registered(people, account=(account := an_account()))
        verification = NewVerification(mia.person_id, account)
        await verifications.start(verification)
        confirmed = await verifications.confirm(an_attempt(verification))
        await unmerge(admin, holder.person_id)

        erasure = await finished(store, (holder, mia)[number].person_id)

        assert confirmed.merge.source_person_id == holder.person_id
        assert erasure.person_ids == [(holder, mia)[number].person_id]
        step = erasure.steps[-1]
        assert (step.erased["merges"], step.erased["verifications"]) == (1, 1)
        assert step.remaining == dict.fromkeys(step.erased, 0)


async def test_recording_one_stage_from_many_sides_does_it_once(store, mia):
    erasure_id = (await started(store, mia.person_id)).erasure_id
    for stage in STAGES[:2]:
        await store.record(erasure_id, stage, erased={}, remaining={})

    outcomes = await asyncio.gather(
        *(store.record(erasure_id, "identity", erased={}, remaining={}) for _ in range(8))
    )

    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0].steps[-1].erased["persons"] == 1


async def test_a_step_of_no_erasure_is_refused(store):
    with pytest.raises(ErasureNotFound):
        await store.record(ids.new(), "knowledge", erased={}, remaining={})
    with pytest.raises(ErasureNotFound):
        await store.get(ids.new())


@pytest.mark.parametrize("limit", [1, 2, 500])
async def test_erasures_are_listed_by_state_oldest_first(store, people, limit):
    erasures = [
        await (finished if number % 2 else started)(store, (await registered(people)).person_id)
        for number in range(5)
    ]

    async def listed(running: bool | None) -> list[int]:
        found: list[Erasure] = []
        while True:
            after = Place(found[-1].started_at, found[-1].erasure_id) if found else None
            page = await store.list(running=running, after=after, limit=limit)
            found += page
            if len(page) < limit:
                return [erasures.index(erasure) for erasure in found]

    assert await listed(True) == [0, 2, 4]
    assert await listed(False) == [1, 3]
    assert await listed(None) == [0, 1, 2, 3, 4]
    assert await store.count_running() == 3
