"""What every IdentityStore does with people whom no account led to, and with lists of people."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from identity_svc.adapters.sql_consent import SqlConsentStore
from identity_svc.adapters.sql_links import SqlLinkStore
from identity_svc.adapters.sql_merges import SqlMergeStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.domain.consent import Consent
from identity_svc.domain.people import Creation, PersonConflict, PersonFilter
from identity_svc.ports.people import IdentityStore
from svckit import ids, sql
from tests.support.cluster import Database, administrator
from tests.support.identity import an_account, created, linked, person_of, registered


@pytest.fixture
def schema() -> str:
    return "identity"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> IdentityStore:
    """A store without anybody in it, over each transport in turn."""
    return SqlIdentityStore(functions)


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    async with administrator(database) as connection:
        yield connection


async def found(store: IdentityStore, **filters: Any) -> list[str]:
    """The ids of those whom a filter finds."""
    people = await store.find(PersonFilter(**filters), after=None, limit=100)
    return [person.person_id for person in people]


# Creating


async def test_somebody_is_created_without_an_account(store, functions):
    creation = Creation(ids.new(), {"name": "Mia"}, {"news": "granted"})

    answer = await store.create(creation, etag=(etag := ids.new()))

    assert answer.created
    person = answer.person
    assert (person.person_id, person.etag) == (creation.person_id, etag)
    assert (person.person_ids, person.subject_ids) == ([creation.person_id],) * 2
    assert (person.metadata, person.consent) == ({"name": "Mia"}, Consent({"news": "granted"}, 1))
    assert person == await person_of(store, creation.person_id)
    [decision] = await SqlConsentStore(functions).history(
        creation.person_id, purpose=None, before=None, limit=10
    )
    assert (decision.version, decision.state, decision.source) == (1, "granted", "creation")


async def test_a_repeated_creation_answers_whom_the_first_made(store):
    first = Creation(ids.new(), {"a": 1, "b": [{"c": None}]}, {"x": "granted", "y": "denied"})
    same = Creation(first.person_id, {"b": [{"c": None}], "a": 1}, {"y": "denied", "x": "granted"})
    call = ids.new()

    answers = [
        await store.create(first, etag=call),
        # The connection was lost, and the same call is made again.
        await store.create(first, etag=call),
        await store.create(same, etag=ids.new()),
    ]

    assert [answer.created for answer in answers] == [True, True, False]
    assert answers[0].person == answers[1].person == answers[2].person


async def test_an_id_stands_for_one_body(store):
    mia = await created(store, metadata={"name": "Mia"})
    registration = await registered(store)

    for person_id in (mia.person_id, registration.person_id, registration.link_id):
        with pytest.raises(PersonConflict) as raised:
            await created(store, person_id=person_id, metadata={"name": "Max"})
        assert raised.value.metadata == {"person_id": person_id}

    assert await person_of(store, mia.person_id) == mia


async def test_of_equal_creations_at_once_one_creates(store):
    creation = Creation(ids.new(), {"name": "Mia"}, {"x": "granted"})

    answers = await asyncio.gather(*(store.create(creation, etag=ids.new()) for _ in range(12)))

    assert sum(answer.created for answer in answers) == 1
    assert len({answer.person.etag for answer in answers}) == 1


# Finding


async def test_people_are_found_page_by_page_by_age_also_those_of_one_instant(store, admin):
    somebody = [(await registered(store)).person_id for _ in range(4)]
    somebody += [(await created(store)).person_id for _ in range(3)]
    await admin.execute(
        "UPDATE identity.identity_registry SET created_at = now() WHERE person_id = ANY ($1)",
        somebody[:5],
    )

    pages, after = [], None
    while page := await store.find(PersonFilter(), after=after, limit=2):
        pages += page
        after = page[-1].place

    assert sorted(person.person_id for person in pages) == sorted(somebody)
    assert [person.place for person in pages] == sorted(person.place for person in pages)
    assert pages[0] == await person_of(store, pages[0].person_id)


async def test_people_are_found_by_a_platform_that_they_are_on_now(store, functions):
    links = SqlLinkStore(functions)
    on_web = await registered(store, account=an_account("a", "web"))
    left = await registered(store, account=an_account("b", "web"))
    await links.unlink(left.person_id, left.link_id)
    both = await registered(store)
    for name in ("c", "d"):
        await linked(links, both.person_id, an_account(name, "web"))
    as_alias = await registered(store, account=an_account("e", "web"))
    root = await created(store)
    await SqlMergeStore(functions).merge(
        as_alias.person_id, root.person_id, reason="", merge_id=ids.new()
    )

    assert await found(store, platform="web") == [
        on_web.person_id, both.person_id, root.person_id
    ]  # fmt: skip
    assert await found(store, platform="telegram") == []


async def test_people_are_found_by_what_their_metadata_contain(store, functions):
    mia = await created(store, metadata={"tags": ["a", "b"], "home": {"city": "Bonn", "zip": 5}})
    max_ = await created(store, metadata={"tags": ["b"], "home": {"city": "Bonn"}})
    eva = await created(store, metadata={"tags": "b"})
    await SqlMergeStore(functions).merge(
        eva.person_id, max_.person_id, reason="", merge_id=ids.new()
    )

    assert await found(store, metadata={"home": {"city": "Bonn"}}) == [
        mia.person_id, max_.person_id
    ]  # fmt: skip
    assert await found(store, metadata={"tags": ["a"]}) == [mia.person_id]
    assert await found(store, metadata={"home": {"zip": 5}, "tags": ["b"]}) == [mia.person_id]
    assert await found(store, metadata={"home": {}}) == [mia.person_id, max_.person_id]
    # What somebody merged keeps is theirs.
    assert await found(store, metadata={"tags": "b"}) == []


async def test_people_are_found_by_when_they_were_last_seen(store, admin):
    mia, max_, _never = [(await registered(store)).person_id for _ in range(3)]
    await store.touch([mia, max_])
    await admin.execute(
        """UPDATE identity.identity_registry SET last_seen_at = last_seen_at - interval '3 days'
           WHERE person_id = $1""",
        max_,
    )
    seen = (await person_of(store, mia)).last_seen_at
    instant = timedelta(microseconds=1)

    assert await found(store, seen_from=seen) == [mia]
    assert await found(store, seen_from=seen + instant) == []
    assert await found(store, seen_to=seen) == [max_]
    assert await found(store, seen_to=seen + instant) == [mia, max_]
    assert await found(store, seen_from=seen - timedelta(days=4), seen_to=seen) == [max_]


async def test_filters_hold_together(store, functions):
    mia = await registered(store, account=an_account("a", "web"), metadata={"vip": True})
    await registered(store, account=an_account("b", "web"))
    await created(store, metadata={"vip": True})
    await store.touch([mia.person_id])
    seen = (await person_of(store, mia.person_id)).last_seen_at

    filters = {"platform": "web", "metadata": {"vip": True}, "seen_from": seen}
    assert await found(store, **filters) == [mia.person_id]
    assert await found(store, **filters, seen_to=seen) == []
