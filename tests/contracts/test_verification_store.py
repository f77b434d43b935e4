"""What every VerificationStore does, whichever way it reaches its database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any

import pytest

from identity_svc.adapters.sql_erasure import SqlErasureStore
from identity_svc.adapters.sql_links import SqlLinkStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.adapters.sql_verification import SqlVerificationStore
from identity_svc.domain.erasure import PersonErasing
from identity_svc.domain.links import LinkTaken
from identity_svc.domain.people import Account, PersonNotFound
from identity_svc.domain.verification import (
    ALPHABET,
    NewVerification,
    VerificationExpired,
    VerificationFailed,
    VerificationNotFound,
    VerificationThrottled,
    clean_code,
)
from identity_svc.ports.links import LinkStore
from identity_svc.ports.people import IdentityStore
from identity_svc.ports.verification import VerificationStore
from svckit import ids, sql
from tests.support.cluster import Database, administrator
from tests.support.identity import an_account, created, linked, person_of, registered
from tests.support.onboarding import an_attempt, merge, outcomes_of

WRONG = "WRONGWRG"


@pytest.fixture
def schema() -> str:
    return "identity"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> VerificationStore:
    """A store without verifications, over each transport in turn."""
    return SqlVerificationStore(functions)


@pytest.fixture
def people(functions: sql.SqlFunctions) -> IdentityStore:
    return SqlIdentityStore(functions)


@pytest.fixture
def links(functions: sql.SqlFunctions) -> LinkStore:
    return SqlLinkStore(functions)


@pytest.fixture
async def mia(people: IdentityStore) -> str:
    """The id of a person."""
    return (await registered(people)).person_id


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    async with administrator(database) as connection:
        yield connection


async def started(
    store: VerificationStore, person_id: str, account: Account | None = None
) -> NewVerification:
    """A verification that waits for its code."""
    verification = NewVerification(person_id, account or an_account())
    await store.start(verification)
    return verification


async def pass_time(admin: Any, **by: float) -> None:
    """Have all verifications started earlier than they were."""
    await admin.execute(
        """UPDATE identity.link_verifications
           SET created_at = created_at - $1::interval, expires_at = expires_at - $1::interval""",
        timedelta(**by),
    )


def test_codes_are_random_and_hard_to_misread():
    codes = {NewVerification(ids.new(), an_account()).code for _ in range(1000)}

    assert len(codes) == 1000
    assert {len(code) for code in codes} == {8}
    assert set("".join(codes)) == set(ALPHABET)
    assert not set(ALPHABET) & set("0O1IL2Z5S8BUV")
    assert clean_code(" aCde\t fgh\n3") == "ACDEFGH3"


async def test_only_a_salted_hash_of_the_code_is_kept(store, mia, admin):
    verification = await started(store, mia)
    twin = NewVerification(mia, an_account(), code=verification.code)

    kept = await admin.fetchval("SELECT v::text FROM identity.link_verifications v")

    assert verification.code_hash in kept
    assert verification.code not in kept.upper().replace(verification.code_hash.upper(), "")
    assert verification.code not in repr(verification)
    assert twin.code_hash != verification.code_hash


async def test_the_right_code_links_with_proof_once(store, people, mia):
    verification = await started(store, mia)
    attempt = an_attempt(verification)

    first = await store.confirm(attempt)
    of_the_seam = await store.confirm(attempt)
    of_the_client = await store.confirm(an_attempt(verification))

    assert [linked.created for linked in (first, of_the_seam, of_the_client)] == [
        True, True, False,
    ]  # fmt: skip
    assert first.link == of_the_seam.link == of_the_client.link
    assert (first.link.person_id, first.link.verified) == (mia, True)
    [resolved] = await people.resolve([verification.account])
    assert resolved.link_id == first.link.link_id


async def test_a_verification_lasts_ten_minutes(store, people, mia, admin):
    used, late = await started(store, mia), NewVerification(mia, an_account())
    answer = await store.start(late)
    again = await store.start(late)
    await store.confirm(an_attempt(used))
    lasting = await admin.fetchval(
        "SELECT max(expires_at - created_at) FROM identity.link_verifications"
    )

    await pass_time(admin, minutes=10)
    with pytest.raises(VerificationExpired):
        await store.confirm(an_attempt(late))
    with pytest.raises(VerificationExpired):
        await store.confirm(an_attempt(late, WRONG))

    assert again == answer
    assert lasting == timedelta(minutes=10)
    assert not (await store.confirm(an_attempt(used))).created


async def test_a_wrong_code_spends_a_try_and_five_are_all(store, mia):
    verification, wrong = await started(store, mia), []
    for _ in range(5):
        with pytest.raises(VerificationFailed) as raised:
            await store.confirm(an_attempt(verification, WRONG))
        wrong.append(raised.value.metadata)

    for code in (WRONG, verification.code):
        with pytest.raises(VerificationExpired):
            await store.confirm(an_attempt(verification, code))

    assert [metadata["tries_left"] for metadata in wrong] == ["4", "3", "2", "1", "0"]
    assert {metadata["verification_id"] for metadata in wrong} == {verification.verification_id}


async def test_a_repeated_call_with_a_wrong_code_spends_one_try(store, mia):
    verification = await started(store, mia)
    attempt = an_attempt(verification, WRONG)

    for _ in range(3):
        with pytest.raises(VerificationFailed) as raised:
            await store.confirm(attempt)

    assert raised.value.metadata["tries_left"] == "4"


async def test_a_used_verification_answers_nobody_without_the_code(store, mia):
    verification = await started(store, mia)
    await store.confirm(an_attempt(verification))

    _, errors = await outcomes_of(
        [store.confirm(an_attempt(verification, WRONG)) for _ in range(8)]
    )

    assert [type(error) for error in errors].count(VerificationFailed) == 5
    with pytest.raises(VerificationExpired):
        await store.confirm(an_attempt(verification))


async def test_fifty_guesses_at_once_have_five_tries(store, mia):
    verification = await started(store, mia)

    answers, errors = await outcomes_of(
        [store.confirm(an_attempt(verification, f"{WRONG}{n}")) for n in range(50)]
    )

    failed = [error for error in errors if isinstance(error, VerificationFailed)]
    assert answers == []
    assert sorted(error.metadata["tries_left"] for error in failed) == list("01234")
    assert sum(isinstance(error, VerificationExpired) for error in errors) == 45


async def test_of_many_right_codes_at_once_one_makes_the_link(store, mia):
    verification = await started(store, mia)

    answers = await asyncio.gather(*(store.confirm(an_attempt(verification)) for _ in range(16)))

    assert sorted(answer.created for answer in answers) == [False] * 15 + [True]
    assert len({answer.link.link_id for answer in answers}) == 1


async def test_an_account_of_somebody_else_is_told_only_with_the_code(store, people, links, mia):
    holder = await created(people)
    await linked(links, holder.person_id, an_account("taken"))
    verification = await started(store, mia, an_account("taken"))

    with pytest.raises(VerificationFailed):
        await store.confirm(an_attempt(verification, WRONG))
    for _ in range(2):
        with pytest.raises(LinkTaken) as raised:
            await store.confirm(an_attempt(verification))

    assert raised.value.metadata == {"platform": "discord", "platform_id": "taken"}
    assert holder.person_id not in str(raised.value)


async def test_the_right_code_merges_whoever_was_only_registered(store, people, mia):
    holder = await registered(people, account=an_account("theirs"))
    verification = await started(store, mia, an_account("theirs"))
    attempt = an_attempt(verification)

    first = await store.confirm(attempt)
    of_the_seam = await store.confirm(attempt)
    of_the_client = await store.confirm(an_attempt(verification))

    assert (first.link.link_id, first.link.verified) == (holder.link_id, True)
    assert first.link.verification_method == "code"
    assert (first.merge.source_person_id, first.merge.target_person_id, first.merge.reason) == (
        holder.person_id, mia, "link"
    )  # fmt: skip
    assert of_the_seam == first
    assert (of_the_client.link, of_the_client.created) == (first.link, False)
    assert (await person_of(people, holder.person_id)).person_ids == [mia, holder.person_id]


async def test_a_link_of_ones_own_becomes_verified(store, links, mia):
    account = an_account()
    own = await linked(links, mia, account)
    verification = await started(store, mia, account)

    confirmed = await store.confirm(an_attempt(verification))

    assert (confirmed.link.link_id, confirmed.link.verified) == (own.link.link_id, True)
    assert (confirmed.created, confirmed.merge) == (False, None)


async def test_a_new_start_ends_the_one_before(store, people, admin):
    alias, max_ = (await registered(people)).person_id, (await registered(people)).person_id
    # Whoever was only registered would become part of who has proof.
    mia = (await created(people)).person_id
    await merge(admin, alias, mia)
    account = an_account()

    first = await started(store, mia, account)
    of_another = await started(store, max_, account)
    elsewhere = await started(store, mia)
    second = await started(store, alias, account)

    with pytest.raises(VerificationExpired):
        await store.confirm(an_attempt(first))
    for verification in (elsewhere, second):
        assert (await store.confirm(an_attempt(verification))).created
    with pytest.raises(LinkTaken):
        await store.confirm(an_attempt(of_another))


@pytest.mark.parametrize("crowded", ["account", "person"])
async def test_starts_are_throttled_by_account_and_by_person(store, people, admin, mia, crowded):
    alias = (await registered(people)).person_id
    await merge(admin, alias, mia)
    account = an_account()

    crowd = [(await registered(people)).person_id for _ in range(20)]

    def one(number: int) -> Awaitable[NewVerification]:
        if crowded == "account":
            return started(store, crowd[number], account)
        return started(store, mia if number % 2 else alias)

    answers, errors = await outcomes_of([one(number) for number in range(20)])
    repeated = await store.start(answers[0])
    await pass_time(admin, minutes=4)
    with pytest.raises(VerificationThrottled) as raised:
        await one(0)
    await pass_time(admin, minutes=6)
    await one(0)

    assert (len(answers), len(errors)) == (5, 15)
    assert {type(error) for error in errors} == {VerificationThrottled}
    assert repeated.verification_id == answers[0].verification_id
    assert 300 < raised.value.retry_after <= 360


async def test_verifications_of_nobody_and_of_nothing_are_refused(store, mia):
    with pytest.raises(PersonNotFound):
        await started(store, ids.new())
    with pytest.raises(VerificationNotFound):
        await store.confirm(an_attempt(NewVerification(mia, an_account())))


async def test_nobody_who_is_being_erased_verifies(store, mia, functions):
    verification = await started(store, mia)
    await SqlErasureStore(functions).start(mia, erasure_id=ids.new())

    with pytest.raises(PersonErasing):
        await started(store, mia)
    with pytest.raises(PersonErasing):
        await store.confirm(an_attempt(verification))


async def test_sweeping_takes_what_is_older_than_a_day(store, mia, admin):
    old = [await started(store, mia) for _ in range(3)]
    await store.confirm(an_attempt(old[0]))
    await pass_time(admin, days=1, minutes=1)
    fresh = await started(store, mia)

    async with admin.transaction():
        await admin.execute(
            "SELECT FROM identity.link_verifications WHERE verification_id = $1 FOR UPDATE",
            old[0].verification_id,
        )
        swept = [await store.sweep(limit=1) for _ in range(3)]
    swept.append(await store.sweep(limit=10))

    assert swept == [1, 1, 0, 1]
    assert (await store.confirm(an_attempt(fresh))).created
