"""What every IdentityStore does when people change, whichever way it reaches its database."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from identity_svc.adapters.sql_links import SqlLinkStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.domain.links import LinkPlace
from identity_svc.domain.people import EtagMismatch, MetadataTooLarge, Person, PersonNotFound
from identity_svc.ports.people import IdentityStore
from svckit import ids, sql
from svckit.fields import METADATA_BYTES
from tests.support.cluster import Database, administrator
from tests.support.identity import an_account, linked, person_of, registered


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


# Changing metadata


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        # The cases of RFC 7396, appendix A, whose documents are objects.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "text"}, {"a": {"b": [None, {"c": None}]}}, {"a": {"b": [None, {"c": None}]}}),
        ({"a": 1}, {}, {"a": 1}),
    ],
)
async def test_metadata_changes_by_merge_patch(store, before, patch, after):
    mia = await registered(store, metadata=before)

    changed = await store.update(mia.person_id, patch, etag=None, new_etag=ids.new())

    assert changed.metadata == after
    assert changed == await person_of(store, mia.person_id)


async def test_an_update_needs_the_etag_that_the_person_has(store):
    mia = await registered(store)
    first = (await person_of(store, mia.person_id)).etag
    second = (await store.update(mia.person_id, {"a": 1}, etag=first, new_etag=ids.new())).etag

    with pytest.raises(EtagMismatch):
        await store.update(mia.person_id, {"a": 2}, etag=first, new_etag=ids.new())

    assert second != first
    assert (await person_of(store, mia.person_id)).metadata == {"a": 1}


async def test_of_two_equal_updates_with_one_etag_one_wins(store):
    mia = await registered(store)
    etag = (await person_of(store, mia.person_id)).etag

    outcomes = await asyncio.gather(
        *(
            store.update(mia.person_id, {"claimed": True}, etag=etag, new_etag=ids.new())
            for _ in range(8)
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, Person) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, EtagMismatch) for outcome in outcomes) == 7


async def test_a_repeated_update_is_answered_as_the_first_time(store):
    mia = await registered(store)
    etag, new_etag = (await person_of(store, mia.person_id)).etag, ids.new()

    first = await store.update(mia.person_id, {"a": 1}, etag=etag, new_etag=new_etag)
    again = await store.update(mia.person_id, {"a": 1}, etag=etag, new_etag=new_etag)

    assert again == first
    assert first.etag == new_etag


async def test_a_patch_that_changes_nothing_keeps_the_etag(store):
    mia = await registered(store, metadata={"a": 1})
    before = await person_of(store, mia.person_id)

    after = await store.update(mia.person_id, {"a": 1, "b": None}, etag=None, new_etag=ids.new())

    assert after == before


async def test_concurrent_updates_lose_nothing(store):
    mia = await registered(store)

    await asyncio.gather(
        *(
            store.update(mia.person_id, {f"key-{n}": n}, etag=None, new_etag=ids.new())
            for n in range(16)
        )
    )

    expected = {f"key-{n}": n for n in range(16)}
    assert (await person_of(store, mia.person_id)).metadata == expected


async def test_metadata_may_grow_to_its_limit_counted_without_spaces(store):
    mia = await registered(store, metadata={"list": [], "text": ""})
    # Compact: 11 characters around the list, then `,"text":"…"}`.
    numbers = [1] * 1000
    room = METADATA_BYTES - len('{"list":[],"text":""}') - (2 * len(numbers) - 1)

    full = await store.update(
        mia.person_id, {"list": numbers, "text": ", " * (room // 2) + "x" * (room % 2)},
        etag=None, new_etag=ids.new(),
    )  # fmt: skip
    with pytest.raises(MetadataTooLarge) as raised:
        await store.update(mia.person_id, {"list": [*numbers, 1]}, etag=None, new_etag=ids.new())

    assert raised.value.violations[0][0] == "metadata"
    assert await person_of(store, mia.person_id) == full


@pytest.mark.parametrize("number", [1e-300, -2.5e-8, 9.5e-6, 1.25e-5, 10.000001, 1 / 3])
async def test_numbers_count_as_they_are_written_with_an_exponent(store, number):
    numbers = [number] * 200
    written = orjson.dumps({"list": numbers, "text": ""})
    mia = await registered(store, metadata={"list": numbers})
    room = METADATA_BYTES - len(written)

    full = await store.update(mia.person_id, {"text": "x" * room}, etag=None, new_etag=ids.new())
    with pytest.raises(MetadataTooLarge):
        await store.update(mia.person_id, {"text": "x" * (room + 1)}, etag=None, new_etag=ids.new())

    assert full.metadata == {"list": numbers, "text": "x" * room}


async def test_an_update_of_nobody_is_refused(store):
    with pytest.raises(PersonNotFound):
        await store.update(ids.new(), {"a": 1}, etag="whatever", new_etag=ids.new())


# Being seen


async def test_who_is_seen_is_written_and_not_again_within_a_minute(store, admin):
    mia, max_ = await registered(store), await registered(store)
    await admin.execute(
        "UPDATE identity.identity_registry SET last_seen_at = now() - interval '20 s' "
        "WHERE person_id = $1",
        max_.person_id,
    )
    seen_before = (await person_of(store, max_.person_id)).last_seen_at

    ages = await store.touch([mia.person_id, max_.person_id, ids.new()])

    assert ages.keys() == {mia.person_id, max_.person_id}
    assert ages[mia.person_id] == 0
    assert 20 <= ages[max_.person_id] < 30
    assert (await person_of(store, mia.person_id)).last_seen_at is not None
    assert (await person_of(store, max_.person_id)).last_seen_at == seen_before


async def test_who_was_seen_more_than_a_minute_ago_is_written_again(store, admin):
    mia = await registered(store)
    await admin.execute(
        "UPDATE identity.identity_registry SET last_seen_at = now() - interval '61 s'"
    )

    ages = await store.touch([mia.person_id])

    assert ages == {mia.person_id: 0}


async def test_being_seen_never_waits_for_a_lock(store, admin):
    mia = await registered(store)

    async with admin.transaction():
        await admin.execute("SELECT FROM identity.identity_registry FOR UPDATE")
        ages = await asyncio.wait_for(store.touch([mia.person_id]), 5)

    assert ages == {}


async def test_being_seen_changes_no_etag(store):
    mia = await registered(store)
    before = await person_of(store, mia.person_id)

    await store.touch([mia.person_id])

    assert (await person_of(store, mia.person_id)).etag == before.etag


# What the log has not heard of yet


async def test_registrations_are_pending_until_confirmed(store, functions):
    people = [await registered(store) for _ in range(4)]
    await linked(SqlLinkStore(functions), people[0].person_id)

    await store.confirm([people[1].link_id, ids.new()])
    await store.confirm([people[1].link_id])

    pending = await store.pending(created_before=None, after=None, limit=10)
    assert [link.link_id for link in pending] == [people[n].link_id for n in (0, 2, 3)]
    assert all(link.registration_pending for link in pending)
    [confirmed] = await store.resolve([an_account(people[1].platform_id)])
    assert not confirmed.registration_pending


async def test_pending_links_are_read_up_to_a_time_and_from_a_place(store):
    for _ in range(4):
        await registered(store)
    everything = await store.pending(created_before=None, after=None, limit=10)

    until = await store.pending(created_before=everything[2].created_at, after=None, limit=10)
    behind = await store.pending(
        created_before=None,
        after=LinkPlace(everything[0].created_at, everything[0].link_id),
        limit=2,
    )

    assert until == everything[:2]
    assert behind == everything[1:3]
