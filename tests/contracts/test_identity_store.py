"""What every IdentityStore does, whichever way it reaches its database: finding people.

What it does when people change is in test_identity_store_changes.py.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from identity_svc.adapters.sql_links import SqlLinkStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.domain.consent import Consent
from identity_svc.domain.people import Identity, LinkNotFound, PersonNotFound, Registered
from identity_svc.ports.people import IdentityStore
from svckit import ids, sql
from tests.support.cluster import Database, administrator
from tests.support.identity import a_registration, an_account, linked, person_of, registered


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


# Registering


async def test_somebody_unknown_is_created_with_the_ids_of_the_request(store):
    request = a_registration(an_account("Mia"), consent={"messages": "granted"})

    [outcome] = await store.register([request])

    assert outcome == Registered(
        Identity(
            person_id=request.person_id,
            link_id=request.link_id,
            platform="discord",
            platform_id="Mia",
            consent=Consent({"messages": "granted"}, 1),
            registration_pending=True,
        ),
        created=True,
    )


async def test_somebody_known_comes_back_as_they_are(store):
    first = await registered(store, account=an_account("mia"), metadata={"name": "Mia"})

    [again] = await store.register([a_registration(an_account("mia"), metadata={"name": "Max"})])

    assert again == Registered(first, created=False)
    assert (await person_of(store, first.person_id)).metadata == {"name": "Mia"}


async def test_a_repeated_registration_is_answered_as_the_first_time(store):
    requests = [a_registration(), a_registration()]

    first = await store.register(requests)
    again = await store.register(requests)

    assert again == first
    assert [outcome.created for outcome in again] == [True, True]


async def test_a_repeated_registration_is_answered_though_its_link_has_ended(store, admin):
    request = a_registration()
    first = await store.register([request])
    await admin.execute("UPDATE identity.identity_links SET ended_at = now()")

    again = await store.register([request])

    assert again == first


async def test_an_account_whose_link_has_ended_is_registered_anew(store, admin):
    before = await registered(store, account=an_account("mia"))
    await admin.execute("UPDATE identity.identity_links SET ended_at = now()")

    after = await registered(store, account=an_account("mia"))

    assert after.link_id != before.link_id
    assert after.person_id != before.person_id


async def test_the_first_of_equal_requests_in_a_batch_creates(store):
    twins = [a_registration(an_account("mia")) for _ in range(3)]
    stranger = a_registration()

    outcomes = await store.register([twins[0], stranger, *twins[1:]])

    assert [outcome.created for outcome in outcomes] == [True, True, False, False]
    assert [outcome.identity.person_id for outcome in outcomes] == [
        twins[0].person_id, stranger.person_id, twins[0].person_id, twins[0].person_id
    ]  # fmt: skip


async def test_batches_that_want_the_same_accounts_at_once_make_each_once(store, admin):
    accounts = [an_account(f"id-{number}") for number in range(30)]
    batches = [[a_registration(account) for account in accounts] for _ in range(12)]
    for number, batch in enumerate(batches):
        # Each begins somewhere else, and half of them go backwards.
        batch[:] = batch[number:] + batch[:number]
        batch.sort(key=lambda r: r.account.platform_id, reverse=number % 2 == 0)

    answers = await asyncio.gather(*(store.register(batch) for batch in batches))

    outcomes = [outcome for batch in answers for outcome in batch]
    assert sum(outcome.created for outcome in outcomes) == len(accounts)
    assert len({outcome.identity.person_id for outcome in outcomes}) == len(accounts)
    assert await admin.fetchval("SELECT count(*) FROM identity.identity_registry") == len(accounts)
    assert await admin.fetchval("SELECT count(*) FROM identity.identity_links") == len(accounts)


async def test_consent_at_registration_fills_only_what_was_never_decided(store, admin):
    first = await registered(
        store, account=an_account("mia"), consent={"messages": "granted", "news": "denied"}
    )
    # A decision taken back is a decision.
    await admin.execute(
        """UPDATE identity.identity_registry
           SET consent_status = consent_status || '{"news": "unset"}', consent_version = 2"""
    )

    again = await registered(
        store,
        account=an_account("mia"),
        consent={"messages": "denied", "news": "denied", "knowledge": "granted"},
    )

    assert again.person_id == first.person_id
    assert again.consent.version == 3
    assert again.consent.purposes == {
        "messages": "granted", "news": "unset", "knowledge": "granted"
    }  # fmt: skip


async def test_consent_that_changes_nothing_changes_no_version(store):
    first = await registered(store, account=an_account("mia"), consent={"messages": "granted"})
    before = await person_of(store, first.person_id)

    await registered(store, account=an_account("mia"), consent={"messages": "denied"})

    assert await person_of(store, first.person_id) == before


async def test_consents_of_one_batch_count_as_if_they_came_one_by_one(store, admin):
    batch = [
        a_registration(an_account("mia"), consent={"messages": "granted"}),
        a_registration(an_account("mia"), consent={"messages": "denied", "news": "denied"}),
        a_registration(an_account("mia"), consent={"news": "granted"}),
        a_registration(an_account("mia"), consent={"knowledge": "granted"}),
    ]

    outcomes = await store.register(batch)

    assert {outcome.identity.consent.version for outcome in outcomes} == {3}
    history = await admin.fetch(
        "SELECT version, purpose, state, source FROM identity.consent_history ORDER BY 1, 2"
    )
    assert [tuple(row) for row in history] == [
        (1, "messages", "granted", "registration"),
        (2, "news", "denied", "registration"),
        (3, "knowledge", "granted", "registration"),
    ]


async def test_concurrent_consents_lose_no_version(store, admin):
    known = await registered(store, account=an_account("mia"))
    purposes = [f"purpose-{number}" for number in range(16)]

    await asyncio.gather(
        *(
            store.register([a_registration(an_account("mia"), consent={purpose: "granted"})])
            for purpose in purposes
        )
    )

    consent = (await person_of(store, known.person_id)).consent
    assert consent.version == len(purposes)
    assert set(consent.purposes) == set(purposes)
    versions = await admin.fetch("SELECT version FROM identity.consent_history ORDER BY version")
    assert [row["version"] for row in versions] == list(range(1, len(purposes) + 1))


# Resolving


async def test_accounts_resolve_in_order_and_unknown_ones_are_said_to_be(store):
    mia = await registered(store, account=an_account("mia"))
    max_ = await registered(store, account=an_account("max", "web"))

    answers = await store.resolve(
        [an_account("max", "web"), an_account("max"), an_account("mia"), an_account("max", "web")]
    )

    assert [a for a in answers if not isinstance(a, LinkNotFound)] == [max_, mia, max_]
    assert isinstance(answers[1], LinkNotFound)
    assert answers[1].metadata == {"platform": "discord", "platform_id": "max"}


async def test_an_ended_link_resolves_to_nobody(store, admin):
    await registered(store, account=an_account("mia"))
    await admin.execute("UPDATE identity.identity_links SET ended_at = now()")

    [answer] = await store.resolve([an_account("mia")])

    assert isinstance(answer, LinkNotFound)


# Reading people


async def test_a_person_has_their_subjects_own_id_first_then_links_by_age(store, functions, admin):
    mia = await registered(store, metadata={"nothing": None, "n": [1, 2.5, {"deep": True}]})
    links = SqlLinkStore(functions)
    later = [(await linked(links, mia.person_id)).link for _ in range(3)]
    await admin.execute("UPDATE identity.identity_links SET ended_at = now() WHERE link_id = $1",
                        later[1].link_id)  # fmt: skip

    found = await person_of(store, mia.person_id)

    assert found.subject_ids == [mia.person_id, mia.link_id, *(link.link_id for link in later)]
    assert found.metadata == {"nothing": None, "n": [1, 2.5, {"deep": True}]}
    assert found.last_seen_at is None
    assert datetime.now(UTC) - found.created_at < timedelta(minutes=1)


async def test_people_come_in_the_order_asked_for_and_missing_ones_are_named(store):
    mia, max_ = await registered(store), await registered(store)
    nobody = ids.new()

    answers = await store.get([max_.person_id, nobody, mia.person_id, max_.person_id])

    assert isinstance(answers[1], PersonNotFound)
    assert answers[1].metadata == {"person_id": nobody}
    assert [answers[at].person_id for at in (0, 2, 3)] == [
        max_.person_id, mia.person_id, max_.person_id
    ]  # fmt: skip
