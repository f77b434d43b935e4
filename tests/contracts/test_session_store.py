"""What every SessionStore does, whichever way it reaches its database."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from identity_svc.adapters.sql_erasure import SqlErasureStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.adapters.sql_sessions import SqlSessionStore
from identity_svc.domain.erasure import PersonErasing
from identity_svc.domain.people import MetadataTooLarge, PersonNotFound
from identity_svc.domain.sessions import (
    DataTooLarge,
    NewSession,
    Session,
    SessionClaimed,
    SessionConflict,
    SessionEtagMismatch,
    SessionExpired,
    SessionNotFound,
)
from identity_svc.ports.people import IdentityStore
from identity_svc.ports.sessions import SessionStore
from svckit import ids, sql
from tests.support.cluster import Database, administrator
from tests.support.identity import person_of, registered
from tests.support.onboarding import merge, outcomes_of, unmerge


@pytest.fixture
def schema() -> str:
    return "identity"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> SessionStore:
    """A store without sessions, over each transport in turn."""
    return SqlSessionStore(functions)


@pytest.fixture
def people(functions: sql.SqlFunctions) -> IdentityStore:
    return SqlIdentityStore(functions)


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    async with administrator(database) as connection:
        yield connection


async def a_session(store: SessionStore, **data: Any) -> Session:
    return (await store.create(NewSession(data), call_id=ids.new())).session


async def pass_time(admin: Any, session: Session, **ago: float) -> None:
    """Have a session expired since then."""
    await admin.execute(
        """UPDATE identity.onboarding_sessions SET expires_at = clock_timestamp() - $2::interval
           WHERE session_id = $1""",
        session.session_id,
        timedelta(**ago),
    )


async def test_a_session_is_created_open_and_for_a_day(store):
    made = await store.create(NewSession({"step": 1}), call_id=ids.new())

    session = made.session
    assert made.created
    assert (session.data, session.state, session.person_id) == ({"step": 1}, "open", None)
    assert session.claimed_at is None
    assert session.expires_at - session.created_at == timedelta(days=1)
    assert UUID(session.session_id).version == 4
    assert await store.get(session.session_id) == session


async def test_a_repetition_answers_the_session_and_another_body_is_refused(store):
    new, call_id = NewSession({"a": 1, "b": 2}, 60_000), ids.new()

    first = await store.create(new, call_id=call_id)
    of_the_seam = await store.create(new, call_id=call_id)
    of_the_client = await store.create(
        NewSession({"b": 2, "a": 1}, 60_000, new.session_id), call_id=ids.new()
    )
    for other in (
        NewSession({"a": 1}, 60_000, new.session_id),
        NewSession(new.data, 60_001, new.session_id),
        NewSession(new.data, None, new.session_id),
    ):
        with pytest.raises(SessionConflict):
            await store.create(other, call_id=ids.new())

    assert [made.created for made in (first, of_the_seam, of_the_client)] == [True, True, False]
    assert first.session == of_the_client.session
    assert first.session.expires_at - first.session.created_at == timedelta(minutes=1)


async def test_an_update_patches_the_data_and_may_lengthen_the_session(store):
    session = await a_session(store, name="Mia", step=1)
    later, new_etag = 5 * 86_400_000, ids.new()

    patched = await store.update(
        session.session_id, {"step": None, "lang": "de"}, ttl_milliseconds=None,
        etag=session.etag, new_etag=ids.new(),
    )  # fmt: skip
    longer = await store.update(
        session.session_id, {}, ttl_milliseconds=later, etag=patched.etag, new_etag=new_etag
    )
    again = await store.update(
        session.session_id, {}, ttl_milliseconds=later, etag=patched.etag, new_etag=new_etag
    )
    same = await store.update(
        session.session_id, {"lang": "de"}, ttl_milliseconds=None, etag=None, new_etag=ids.new()
    )

    assert patched.data == {"name": "Mia", "lang": "de"}
    assert patched.expires_at == session.expires_at
    assert timedelta(days=5) <= longer.expires_at - session.created_at < timedelta(days=5, hours=1)
    assert len({session.etag, patched.etag, longer.etag}) == 3
    assert again == same == longer


async def test_an_update_is_refused_where_it_does_not_fit(store):
    session = await a_session(store, a="x" * 10_000)

    with pytest.raises(SessionEtagMismatch):
        await store.update(
            session.session_id, {}, ttl_milliseconds=None, etag="old", new_etag=ids.new()
        )
    with pytest.raises(DataTooLarge) as raised:
        await store.update(
            session.session_id, {"b": "x" * 10_000}, ttl_milliseconds=None, etag=None,
            new_etag=ids.new(),
        )  # fmt: skip
    with pytest.raises(SessionNotFound):
        await store.update(ids.new(), {}, ttl_milliseconds=None, etag=None, new_etag=ids.new())

    assert raised.value.violations[0][0] == "data"
    assert await store.get(session.session_id) == session


async def test_an_expired_session_is_seen_and_neither_changed_nor_claimed(store, people, admin):
    session, mia = await a_session(store), await registered(people)
    await pass_time(admin, session)

    with pytest.raises(SessionExpired):
        await store.update(
            session.session_id, {"a": 1}, ttl_milliseconds=60_000, etag=None, new_etag=ids.new()
        )
    with pytest.raises(SessionExpired):
        await store.claim(session.session_id, mia.person_id, new_etag=ids.new())

    assert (await store.get(session.session_id)).state == "expired"


async def test_who_claims_a_session_gets_its_data(store, people):
    mia = await registered(people, metadata={"name": "M", "old": 1})
    session = await a_session(store, name="Mia", old=None, tags=["new"])

    claimed = await store.claim(session.session_id, mia.person_id, new_etag=ids.new())

    assert claimed.person.metadata == {"name": "Mia", "tags": ["new"]}
    assert claimed.person == await person_of(people, mia.person_id)
    assert (claimed.session.state, claimed.session.person_id) == ("claimed", mia.person_id)
    assert claimed.session.claimed_at is not None
    assert claimed.session == await store.get(session.session_id)


async def test_claiming_again_answers_the_same_and_applies_nothing_twice(store, people, admin):
    mia, session = await registered(people), await a_session(store, name="Mia")
    first = await store.claim(session.session_id, mia.person_id, new_etag=ids.new())
    await people.update(mia.person_id, {"name": "Maria"}, etag=None, new_etag=ids.new())
    await pass_time(admin, session, days=30)

    again = await store.claim(session.session_id, mia.person_id, new_etag=ids.new())

    assert again.session.claimed_at == first.session.claimed_at
    assert again.session.etag == first.session.etag
    assert again.person.metadata == {"name": "Maria"}


async def test_a_claimed_session_is_closed_to_others_without_a_hint_of_whose(store, people):
    mia, max_ = await registered(people), await registered(people)
    session = await a_session(store)
    await store.claim(session.session_id, mia.person_id, new_etag=ids.new())

    with pytest.raises(SessionClaimed) as by_another:
        await store.claim(session.session_id, max_.person_id, new_etag=ids.new())
    with pytest.raises(SessionClaimed) as changed:
        await store.update(
            session.session_id, {}, ttl_milliseconds=None, etag=None, new_etag=ids.new()
        )

    for raised in (by_another, changed):
        assert raised.value.metadata == {"session_id": session.session_id}
        assert mia.person_id not in str(raised.value)


async def test_claims_of_merged_people_are_one_persons(store, people, admin):
    mia, alias = await registered(people), await registered(people)
    first, second = await a_session(store, a=1), await a_session(store, b=2)
    await merge(admin, alias.person_id, mia.person_id)

    by_alias = await store.claim(first.session_id, alias.person_id, new_etag=ids.new())
    again = await store.claim(first.session_id, mia.person_id, new_etag=ids.new())
    await store.claim(second.session_id, mia.person_id, new_etag=ids.new())
    await unmerge(admin, alias.person_id)

    assert by_alias.session.person_id == again.session.person_id == mia.person_id
    assert (await person_of(people, mia.person_id)).metadata == {"a": 1, "b": 2}
    assert (await person_of(people, alias.person_id)).metadata == {}
    assert (await store.get(first.session_id)).person_id == alias.person_id
    assert (await store.get(second.session_id)).person_id == mia.person_id


async def test_data_that_does_not_fit_is_not_claimed(store, people):
    mia = await registered(people, metadata={"a": "x" * 10_000})
    session = await a_session(store, b="x" * 10_000)

    with pytest.raises(MetadataTooLarge) as raised:
        await store.claim(session.session_id, mia.person_id, new_etag=ids.new())

    assert raised.value.violations[0][0] == "metadata"
    assert await store.get(session.session_id) == session
    assert (await person_of(people, mia.person_id)).metadata == {"a": "x" * 10_000}


async def test_claims_by_nobody_and_of_nothing_are_refused(store, people):
    mia, session = await registered(people), await a_session(store)

    with pytest.raises(PersonNotFound):
        await store.claim(session.session_id, ids.new(), new_etag=ids.new())
    with pytest.raises(SessionNotFound):
        await store.claim(ids.new(), mia.person_id, new_etag=ids.new())
    with pytest.raises(SessionNotFound):
        await store.get(ids.new())

    assert (await store.get(session.session_id)).state == "open"


async def test_nobody_who_is_being_erased_claims(store, people, functions):
    mia, session = await registered(people), await a_session(store, a=1)
    started = await SqlErasureStore(functions).start(mia.person_id, erasure_id=ids.new())

    with pytest.raises(PersonErasing) as raised:
        await store.claim(session.session_id, mia.person_id, new_etag=ids.new())

    assert raised.value.metadata == {
        "person_id": mia.person_id, "erasure_id": started.erasure.erasure_id,
    }  # fmt: skip
    assert (await store.get(session.session_id)).state == "open"


async def test_of_many_claims_at_once_one_wins_and_nobody_else_gets_anything(store, people):
    session = await a_session(store, prize=True)
    crowd = [(await registered(people)).person_id for _ in range(32)]

    claims, errors = await outcomes_of(
        [store.claim(session.session_id, person_id, new_etag=ids.new()) for person_id in crowd * 2]
    )

    winner = (await store.get(session.session_id)).person_id
    assert {claim.person.person_id for claim in claims} == {winner}
    assert {type(error) for error in errors} == {SessionClaimed}
    assert (len(claims), len(errors)) == (2, 62)
    having = [person_id for person_id in crowd if (await person_of(people, person_id)).metadata]
    assert having == [winner]


async def test_sweeping_takes_what_expired_a_day_ago_and_nobody_claimed(store, people, admin):
    mia = await registered(people)
    old, recent, fresh, claimed = [await a_session(store) for _ in range(4)]
    await store.claim(claimed.session_id, mia.person_id, new_etag=ids.new())
    await pass_time(admin, old, days=1, minutes=1)
    await pass_time(admin, recent, hours=23)
    await pass_time(admin, claimed, days=2)

    counts = await store.count()
    swept = [await store.sweep(limit=10) for _ in range(2)]

    assert (counts.open, counts.expired) == (1, 2)
    assert swept == [1, 0]
    with pytest.raises(SessionNotFound):
        await store.get(old.session_id)
    states = [(await store.get(each.session_id)).state for each in (recent, fresh, claimed)]
    assert states == ["expired", "open", "claimed"]


async def test_those_who_sweep_at_once_do_not_wait_for_each_other(store, admin):
    sessions = [await a_session(store) for _ in range(6)]
    for session in sessions:
        await pass_time(admin, session, days=2)

    async with admin.transaction():
        await admin.execute(
            "SELECT FROM identity.onboarding_sessions WHERE session_id = $1 FOR UPDATE",
            sessions[0].session_id,
        )
        swept, errors = await outcomes_of([store.sweep(limit=2) for _ in range(4)])

    assert errors == []
    assert sum(swept) == 5
    assert await store.sweep(limit=2) == 1
