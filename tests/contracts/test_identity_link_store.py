"""What every LinkStore does, whichever way it reaches its database."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from identity_svc.adapters.sql_links import SqlLinkStore
from identity_svc.adapters.sql_merges import SqlMergeStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.domain.links import LinkPlace, LinkTaken, NoSuchLink
from identity_svc.domain.merges import TooManySubjects
from identity_svc.domain.people import LinkNotFound, PersonNotFound
from identity_svc.ports.links import LinkStore
from identity_svc.ports.merges import MergeStore
from identity_svc.ports.people import IdentityStore
from svckit import ids, sql
from tests.support.cluster import Database, administrator
from tests.support.forest import assert_sound
from tests.support.identity import (
    a_registration,
    an_account,
    created,
    linked,
    person_of,
    registered,
)


@pytest.fixture
def schema() -> str:
    return "identity"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> LinkStore:
    """A store without anybody in it, over each transport in turn."""
    return SqlLinkStore(functions)


@pytest.fixture
def people(functions: sql.SqlFunctions) -> IdentityStore:
    return SqlIdentityStore(functions)


@pytest.fixture
def merges(functions: sql.SqlFunctions) -> MergeStore:
    return SqlMergeStore(functions)


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    async with administrator(database) as connection:
        yield connection


# Linking


async def test_a_person_gets_one_more_account(store, people):
    mia = await registered(people)

    made = await linked(
        store, mia.person_id, an_account("@Mia", "telegram"), link_id=(new := ids.new()),
        verified=True, verification_method="oauth",
    )  # fmt: skip

    assert made.created
    assert made.merge is None
    link = made.link
    assert (link.link_id, link.person_id, link.verified) == (new, mia.person_id, True)
    assert link.verified_at is not None
    assert link.verification_method == "oauth"
    assert (link.platform, link.platform_id, link.original_platform_id) == (
        "telegram", "mia", "@Mia"
    )  # fmt: skip
    assert not link.registration_pending
    [resolved] = await people.resolve([an_account("mia", "telegram")])
    assert (resolved.person_id, resolved.link_id) == (mia.person_id, new)


async def test_a_repeated_linking_is_answered_as_the_first_time(store, people):
    mia = await registered(people)
    account, link_id = an_account(), ids.new()

    first = await linked(store, mia.person_id, account, link_id=link_id)
    again = await linked(store, mia.person_id, account, link_id=link_id)

    assert first.created
    assert again == first


async def test_linking_what_a_person_has_may_prove_it_and_never_takes_proof_back(store, people):
    mia = await registered(people, account=an_account("mia"))

    answers = [
        await linked(
            store, mia.person_id, an_account("mia"), verified=bool(method),
            verification_method=method,
        )
        for method in ("", "oauth", "", "code")
    ]  # fmt: skip

    assert [answer.created for answer in answers] == [False] * 4
    assert {answer.link.link_id for answer in answers} == {mia.link_id}
    assert [answer.link.verified for answer in answers] == [False, True, True, True]
    assert [answer.link.verification_method for answer in answers] == ["", *["oauth"] * 3]
    assert {answer.link.verified_at for answer in answers[1:]} == {answers[1].link.verified_at}


async def test_an_account_of_somebody_else_is_taken_and_nobody_learns_whose(store, people):
    mia, max_ = await registered(people, account=an_account("mia")), await registered(people)

    with pytest.raises(LinkTaken) as raised:
        await linked(store, max_.person_id, an_account("mia"))

    assert raised.value.metadata == {"platform": "discord", "platform_id": "mia"}
    assert mia.person_id not in str(raised.value)
    assert mia.link_id not in str(raised.value)


async def test_nobody_cannot_be_linked_even_to_a_taken_account(store, people):
    mia = await registered(people, account=an_account("mia"))

    for account in (an_account(), an_account("mia")):
        with pytest.raises(PersonNotFound):
            await linked(store, ids.new(), account)

    assert len((await person_of(people, mia.person_id)).subject_ids) == 2


async def test_of_many_who_link_one_account_at_once_one_gets_it(store, people):
    somebody = [await registered(people) for _ in range(8)]

    outcomes = await asyncio.gather(
        *(linked(store, one.person_id, an_account("wanted")) for one in somebody),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, LinkTaken) for outcome in outcomes) == 7
    [won] = [outcome for outcome in outcomes if not isinstance(outcome, LinkTaken)]
    assert won.created
    [resolved] = await people.resolve([an_account("wanted")])
    assert resolved.person_id == won.link.person_id


# Lists of links


async def test_links_are_read_page_by_page_oldest_first_also_those_of_one_instant(
    store, people, admin
):
    mia = await registered(people)
    for _ in range(6):
        await linked(store, mia.person_id)
    await admin.execute("UPDATE identity.identity_links SET created_at = now(), ended_at = now()")

    found, after = [], None
    while page := await store.links(mia.person_id, after=after, limit=3):
        assert len(page) <= 3
        found += page
        after = LinkPlace(page[-1].created_at, page[-1].link_id)

    expected = (await person_of(people, mia.person_id)).subject_ids[1:]
    assert [link.link_id for link in found] == expected
    assert len(found) == 7
    assert all(link.ended_at for link in found)


async def test_links_of_nobody_are_refused(store, people):
    with pytest.raises(PersonNotFound):
        await store.links(ids.new(), after=None, limit=10)


async def test_links_of_people_who_are_one_are_listed_together(store, people, merges):
    mia, max_ = await registered(people), await registered(people)
    later = (await linked(store, mia.person_id)).link
    await merges.merge(max_.person_id, mia.person_id, reason="", merge_id=ids.new())
    as_alias = (await linked(store, max_.person_id)).link

    everything = await store.links(mia.person_id, after=None, limit=10)
    first = await store.links(max_.person_id, after=None, limit=2)
    rest = await store.links(max_.person_id, after=first[-1].place, limit=10)

    assert [link.link_id for link in everything] == [
        mia.link_id, max_.link_id, later.link_id, as_alias.link_id
    ]  # fmt: skip
    assert [*first, *rest] == everything
    # A link belongs to the id that it was made for.
    assert [link.person_id for link in everything] == [
        mia.person_id, max_.person_id, mia.person_id, max_.person_id
    ]  # fmt: skip


# Unlinking


async def test_an_ended_link_leads_nowhere_and_stays_with_its_person(store, people):
    mia = await registered(people, account=an_account("mia"))

    ended = await store.unlink(mia.person_id, mia.link_id)
    again = await store.unlink(mia.person_id, mia.link_id)

    assert ended.ended_at is not None
    assert ended.ended_at > ended.created_at
    assert again == ended
    [answer] = await people.resolve([an_account("mia")])
    assert isinstance(answer, LinkNotFound)
    assert (await person_of(people, mia.person_id)).subject_ids == [mia.person_id, mia.link_id]


async def test_only_a_person_themselves_is_unlinked_by_any_of_their_ids(store, people, merges):
    mia, max_, eva = [await registered(people) for _ in range(3)]
    await merges.merge(mia.person_id, max_.person_id, reason="", merge_id=ids.new())

    for link_id in (mia.link_id, ids.new()):
        with pytest.raises(NoSuchLink) as raised:
            await store.unlink(eva.person_id, link_id)
        assert raised.value.metadata == {"link_id": link_id}
    with pytest.raises(PersonNotFound):
        await store.unlink(ids.new(), mia.link_id)
    ended = await store.unlink(max_.person_id, mia.link_id)

    assert ended.ended_at is not None
    assert ended.person_id == mia.person_id


async def test_a_recycled_number_shows_each_owner_their_own_tenure(store, people):
    number = an_account("+49 170 1234567", "phone")
    mia, max_ = await registered(people, account=number), await registered(people)

    await store.unlink(mia.person_id, mia.link_id)
    new = await linked(store, max_.person_id, number, verified=True)

    assert new.created
    assert new.merge is None
    [resolved] = await people.resolve([number])
    assert (resolved.person_id, resolved.link_id) == (max_.person_id, new.link.link_id)
    assert (await person_of(people, mia.person_id)).subject_ids == [mia.person_id, mia.link_id]
    assert mia.link_id not in (await person_of(people, max_.person_id)).subject_ids


# Linking with proof what somebody else holds


async def test_proof_makes_the_past_of_who_was_only_registered_the_persons_own(store, people):
    mia = await registered(people, account=an_account("mia"))
    holder = await registered(people, account=an_account("@mia", "telegram"))

    made = await linked(
        store, mia.person_id, an_account("mia", "telegram"),
        verified=True, verification_method="oauth", merge_id=(merge_id := ids.new()),
    )  # fmt: skip

    assert not made.created
    assert (made.link.link_id, made.link.person_id) == (holder.link_id, holder.person_id)
    assert (made.link.verified, made.link.verification_method) == (True, "oauth")
    assert made.merge.merge_id == merge_id
    assert (made.merge.source_person_id, made.merge.target_person_id, made.merge.reason) == (
        holder.person_id, mia.person_id, "link"
    )  # fmt: skip
    [resolved] = await people.resolve([an_account("mia", "telegram")])
    assert (resolved.person_id, resolved.link_id) == (mia.person_id, holder.link_id)
    person = await person_of(people, holder.person_id)
    assert person.subject_ids == [
        mia.person_id, mia.link_id, holder.person_id, holder.link_id
    ]  # fmt: skip


async def test_who_was_created_keeps_what_they_hold(store, people, merges):
    mia, eva = await registered(people), await registered(people)
    app_made = await created(people)
    await linked(store, app_made.person_id, an_account("wanted"))
    # It is the root that counts.
    await merges.merge(eva.person_id, app_made.person_id, reason="", merge_id=ids.new())

    for wanted in ("wanted", eva.platform_id):
        with pytest.raises(LinkTaken):
            await linked(store, mia.person_id, an_account(wanted), verified=True)
    taken = await linked(store, app_made.person_id, an_account(mia.platform_id), verified=True)

    assert taken.merge.source_person_id == mia.person_id
    assert len((await person_of(people, app_made.person_id)).person_ids) == 3


async def test_roots_are_merged_and_links_stay_where_they_were_made(store, people, merges, admin):
    mia, max_, eva, ida = [await registered(people) for _ in range(4)]
    await merges.merge(max_.person_id, mia.person_id, reason="", merge_id=ids.new())
    await merges.merge(eva.person_id, ida.person_id, reason="", merge_id=ids.new())

    made = await linked(store, max_.person_id, an_account(eva.platform_id), verified=True)

    assert (made.merge.source_person_id, made.merge.target_person_id) == (
        ida.person_id, mia.person_id
    )  # fmt: skip
    assert made.link.person_id == eva.person_id
    assert (await person_of(people, eva.person_id)).person_ids == [
        mia.person_id, max_.person_id, eva.person_id, ida.person_id
    ]  # fmt: skip
    await assert_sound(admin)


async def test_a_repeated_linking_with_proof_is_answered_as_the_first_time(store, people, merges):
    mia, holder = await registered(people), await registered(people)
    call = {"verified": True, "link_id": ids.new(), "merge_id": ids.new()}

    first = await linked(store, mia.person_id, an_account(holder.platform_id), **call)
    again = await linked(store, mia.person_id, an_account(holder.platform_id), **call)
    later = await linked(store, mia.person_id, an_account(holder.platform_id), verified=True)
    await merges.unmerge(merge_id=first.merge.merge_id, source_person_id=None, unmerge_id=ids.new())
    late = await linked(store, mia.person_id, an_account(holder.platform_id), **call)

    assert again == first
    assert later.merge is None
    # A straggler does not undo the undoing.
    assert late.merge.unmerged_at is not None
    assert (await person_of(people, mia.person_id)).person_ids == [mia.person_id]


@pytest.mark.parametrize("first", ["phone", "lid"])
async def test_phone_and_hidden_id_converge_in_either_order(store, people, admin, first):
    phone = an_account("491701234567:3@s.whatsapp.net", "whatsapp")
    lid = an_account("80113415417866@lid", "whatsapp")
    accounts = [phone, lid] if first == "phone" else [lid, phone]
    old, new = [await registered(people, account=account) for account in accounts]

    await linked(store, new.person_id, accounts[0], verified=True)

    outcomes = await people.register(
        [
            a_registration(account)
            for account in (phone, lid, an_account("+491701234567", "whatsapp"))
        ]
    )
    assert {outcome.identity.person_id for outcome in outcomes} == {new.person_id}
    assert not any(outcome.created for outcome in outcomes)
    subjects = (await person_of(people, old.person_id)).subject_ids
    assert set(subjects) == {old.person_id, old.link_id, new.person_id, new.link_id}
    await assert_sound(admin)


async def test_a_person_has_at_most_a_thousand_subjects(store, people, merges, admin):
    mia, max_ = await registered(people), await registered(people)
    await admin.execute(
        """INSERT INTO identity.identity_links
               (link_id, person_id, platform, platform_id, original_platform_id, ended_at)
           SELECT gen_random_uuid(), $1, 'web', n::text, n::text, now()
           FROM generate_series(1, 996) n""",
        mia.person_id,
    )

    # 998 and two are as many as may be; a link more is one too many.
    await merges.merge(max_.person_id, mia.person_id, reason="", merge_id=ids.new())
    refusals = []
    for person_id in (mia.person_id, max_.person_id):
        with pytest.raises(TooManySubjects) as raised:
            await linked(store, person_id, an_account("one more"))
        refusals.append(raised.value.metadata)
    eva = await registered(people)
    with pytest.raises(TooManySubjects):
        await linked(store, mia.person_id, an_account(eva.platform_id), verified=True)

    assert refusals == [{"person_id": mia.person_id}, {"person_id": max_.person_id}]
    assert len((await person_of(people, mia.person_id)).subject_ids) == 1000
    [answer] = await people.resolve([an_account("one more")])
    assert isinstance(answer, LinkNotFound)
    await assert_sound(admin)
