"""What every ConsentStore does, whichever way it reaches its database."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from identity_svc.adapters.sql_consent import SqlConsentStore
from identity_svc.adapters.sql_links import SqlLinkStore
from identity_svc.adapters.sql_merges import SqlMergeStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.domain.consent import Consent, TooManyPurposes
from identity_svc.domain.people import PersonNotFound
from identity_svc.ports.consent import ConsentStore
from identity_svc.ports.merges import MergeStore
from identity_svc.ports.people import IdentityStore
from svckit import ids, sql
from tests.support.cluster import Database, administrator
from tests.support.forest import assert_sound
from tests.support.identity import a_registration, an_account, person_of, registered

STATES = ("granted", "denied", "unset")


@pytest.fixture
def schema() -> str:
    return "identity"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> ConsentStore:
    """A store without anybody in it, over each transport in turn."""
    return SqlConsentStore(functions)


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
        await assert_sound(connection)


async def merge(merges: MergeStore, source: str, target: str) -> str:
    """The id of a new merge."""
    done = await merges.merge(source, target, reason="", merge_id=ids.new())
    return done.merge.merge_id


async def unmerge(merges: MergeStore, merge_id: str) -> None:
    await merges.unmerge(merge_id=merge_id, source_person_id=None, unmerge_id=ids.new())


async def someone(people: IdentityStore, **consent: str) -> str:
    return (await registered(people, consent=consent)).person_id


def decided(consent: Consent) -> dict[str, str]:
    """What is not unset."""
    return {purpose: state for purpose, state in consent.purposes.items() if state != "unset"}


async def test_decisions_are_recorded_with_version_and_source(store, people, admin):
    mia = await someone(people, messages="granted")
    before = await person_of(people, mia)

    first = await store.set(mia, {"messages": "denied", "news": "granted"}, source="settings")
    second = await store.set(mia, {"news": "unset"}, source="bot")

    assert first == Consent({"messages": "denied", "news": "granted"}, 2)
    assert (decided(second), second.version) == ({"messages": "denied"}, 3)
    assert await store.consent(mia) == second
    after = await person_of(people, mia)
    assert after.consent == second
    assert after.etag != before.etag
    history = await store.history(mia, purpose=None, before=None, limit=10)
    assert [(h.version, h.purpose, h.state, h.source) for h in history] == [
        (3, "news", "unset", "bot"),
        (2, "news", "granted", "settings"),
        (2, "messages", "denied", "settings"),
        (1, "messages", "granted", "registration"),
    ]
    assert {h.person_id for h in history} == {mia}


async def test_what_changes_nothing_makes_no_version(store, people):
    mia = await someone(people, messages="granted")
    before = await person_of(people, mia)

    answer = await store.set(mia, {"messages": "granted", "news": "unset"}, source="again")

    assert answer == before.consent
    assert await person_of(people, mia) == before
    assert len(await store.history(mia, purpose=None, before=None, limit=10)) == 1


async def test_a_person_decides_on_so_many_purposes_and_no_more(store, people):
    account = an_account()
    mia = (await registered(people, account=account, consent={"messages": "granted"})).person_id
    await store.set(mia, {f"p{n}": "granted" for n in range(255)}, source="")

    with pytest.raises(TooManyPurposes) as raised:
        await store.set(mia, {"one-more": "granted"}, source="")
    with pytest.raises(TooManyPurposes) as raised_by_registration:
        await people.register([a_registration(account, consent={"one-more": "denied"})])
    changed = await store.set(mia, {"p1": "denied"}, source="")

    assert raised.value.violations[0][0] == "purposes"
    assert raised_by_registration.value.violations[0][0] == "consent.purposes"
    assert len(changed.purposes) == 256
    assert changed.purposes["p1"] == "denied"
    assert changed.version == 3


async def test_the_strictest_counts_while_people_are_one(store, people, merges, admin):
    pairs = list(itertools.product(STATES, STATES))
    mia = await someone(people, **{f"p{n}": a for n, (a, _) in enumerate(pairs) if a != "unset"})
    max_ = await someone(people, **{f"p{n}": b for n, (_, b) in enumerate(pairs) if b != "unset"})
    apart = [await store.consent(one) for one in (mia, max_)]

    merge_id = await merge(merges, mia, max_)

    together = await store.consent(max_)
    assert decided(together) == {
        f"p{n}": "denied" if "denied" in pair else "granted"
        for n, pair in enumerate(pairs)
        if "denied" in pair or pair == ("granted", "granted")
    }
    assert await store.consent(mia) == together
    assert (await person_of(people, mia)).consent == together
    assert together.version == 2
    await unmerge(merges, merge_id)
    again = [await store.consent(one) for one in (mia, max_)]
    assert [decided(one) for one in again] == [decided(one) for one in apart]
    assert [one.version for one in again] == [3, 3]


async def test_a_link_answers_what_all_of_the_person_allow(store, people, merges):
    mia = await registered(people, consent={"messages": "granted"})
    max_ = await someone(people, messages="denied")

    await merge(merges, mia.person_id, max_)
    [resolved] = await people.resolve([an_account(mia.platform_id)])
    [known] = await people.register([a_registration(an_account(mia.platform_id))])

    assert resolved.consent == known.identity.consent == await store.consent(max_)
    assert resolved.consent.purposes == {"messages": "denied"}


async def test_a_decision_while_merged_is_everybodys_and_stays_theirs(store, people, merges, admin):
    mia, max_ = await someone(people, news="granted"), await someone(people, messages="denied")
    merge_id = await merge(merges, mia, max_)
    merged = await store.consent(max_)

    set_ = await store.set(mia, {"messages": "granted", "news": "denied"}, source="settings")
    await unmerge(merges, merge_id)

    assert decided(set_) == {"messages": "granted", "news": "denied"}
    assert set_.version == merged.version + 1
    for one in (mia, max_):
        assert decided(await store.consent(one)) == {"messages": "granted", "news": "denied"}
        # Nothing changed for anybody when they came apart.
        assert (await store.consent(one)).version == set_.version
    assert [
        (h.version, h.purpose, h.source)
        for h in await store.history(mia, purpose=None, before=None, limit=10)
    ] == [
        (set_.version, "news", "settings"),
        (set_.version, "messages", "settings"),
        (1, "news", "registration"),
    ]


async def test_a_registration_fills_what_each_of_them_never_decided(store, people, merges, admin):
    mia = await registered(people, consent={"news": "granted"})
    max_ = await someone(people, messages="denied")
    merge_id = await merge(merges, mia.person_id, max_)

    [answer] = await people.register(
        [
            a_registration(
                an_account(mia.platform_id), consent={"news": "granted", "messages": "granted"}
            )
        ]
    )
    await unmerge(merges, merge_id)

    assert decided(answer.identity.consent) == {"messages": "denied", "news": "granted"}
    assert decided(await store.consent(mia.person_id)) == {"news": "granted", "messages": "granted"}
    assert decided(await store.consent(max_)) == {"messages": "denied", "news": "granted"}


async def test_people_who_allow_the_same_keep_the_greater_version(store, people, merges):
    mia, max_ = await someone(people, news="granted"), await someone(people)
    for state in ("denied", "granted"):
        await store.set(max_, {"news": state}, source="")
    nobody = [await someone(people) for _ in range(2)]

    merge_id = await merge(merges, max_, mia)
    together = await store.consent(mia)
    await unmerge(merges, merge_id)
    await merge(merges, *nobody)

    assert together == Consent({"news": "granted"}, 2)
    assert [(await store.consent(one)).version for one in (mia, max_)] == [2, 2]
    assert (await store.consent(nobody[0])).version == 0


async def test_a_version_tells_what_was_answered_through_every_change(store, people, merges, admin):
    a, b, c = [await someone(people) for _ in range(3)]
    seen: dict[str, list[Consent]] = {one: [] for one in (a, b, c)}

    async def look() -> None:
        for one, answers in seen.items():
            answers.append(await store.consent(one))

    await store.set(a, {"x": "granted"}, source="")
    await look()
    await store.set(b, {"x": "granted", "y": "denied"}, source="")
    await look()
    first = await merge(merges, a, b)
    await look()
    second = await merge(merges, b, c)
    await look()
    await store.set(c, {"x": "granted"}, source="")
    await look()
    await unmerge(merges, first)
    await look()
    await store.set(b, {"y": "unset"}, source="")
    await look()
    await unmerge(merges, second)
    await look()

    for answers in seen.values():
        for before, after in itertools.pairwise(answers):
            assert after.version >= before.version
            if decided(after) != decided(before):
                assert after.version > before.version


async def test_each_change_of_an_answer_writes_each_row_that_it_is_about(
    store, people, merges, admin
):
    """Whoever keeps answers elsewhere hears of it by a trigger."""
    await admin.execute(
        """CREATE TABLE public.writes (person_id uuid);
           CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
           'BEGIN INSERT INTO public.writes VALUES (NEW.person_id); RETURN NULL; END';
           CREATE TRIGGER note AFTER UPDATE OF root_id, merged_into, consent_version, consent_status
           ON identity.identity_registry FOR EACH ROW
           WHEN ((OLD.root_id, OLD.consent_version) IS DISTINCT FROM
                 (NEW.root_id, NEW.consent_version))
           EXECUTE FUNCTION public.note()"""
    )
    mia, max_ = await someone(people, news="granted"), await someone(people)

    async def written() -> set[str]:
        rows = await admin.fetch("WITH w AS (DELETE FROM public.writes RETURNING *) TABLE w")
        return {str(row["person_id"]) for row in rows}

    await store.set(mia, {"x": "granted"}, source="")
    assert await written() == {mia}
    merge_id = await merge(merges, mia, max_)
    assert await written() == {mia, max_}
    await store.set(mia, {"x": "denied"}, source="")
    assert await written() == {mia, max_}
    await unmerge(merges, merge_id)
    # The other is answered as before.
    assert await written() == {mia}


async def test_a_history_is_read_page_by_page_over_everybody(store, people, merges, admin):
    mia, max_ = await someone(people), await someone(people)
    for number in range(3):
        await store.set(mia, {"x": STATES[number % 2], "y": STATES[number % 2]}, source="")
        await store.set(max_, {"x": STATES[number % 2]}, source="")
    await merge(merges, mia, max_)
    await store.set(max_, {"x": "denied", "y": "denied"}, source="")
    # Some of one instant.
    await admin.execute(
        """UPDATE identity.consent_history SET changed_at = date_trunc('day', now())
           WHERE version < 3"""
    )
    everything = await store.history(mia, purpose=None, before=None, limit=100)

    found, before = [], None
    while page := await store.history(max_, purpose=None, before=before, limit=2):
        found += page
        before = page[-1].place
    about_x = await store.history(mia, purpose="x", before=None, limit=100)

    assert found == everything
    assert len(found) == 13
    assert [h.place for h in found] == sorted((h.place for h in found), reverse=True)
    assert about_x == [h for h in everything if h.purpose == "x"]
    assert {h.person_id for h in about_x} == {mia, max_}


async def test_concurrent_decisions_lose_no_version(store, people, merges, admin):
    mia, max_ = await someone(people), await someone(people)

    await asyncio.gather(
        merge(merges, mia, max_),
        *(
            store.set(one, {f"p{number}": "granted"}, source="")
            for number, one in enumerate([mia, max_] * 8)
        ),
    )

    versions = [
        h.version for h in await store.history(max_, purpose=None, before=None, limit=100)
        if h.person_id == max_
    ]  # fmt: skip
    assert len(set(versions)) == len(versions)
    assert (await store.consent(max_)).version >= max(versions)


async def test_nobody_allows_nothing(store):
    nobody = ids.new()

    for call in (
        store.set(nobody, {"x": "granted"}, source=""),
        store.consent(nobody),
        store.history(nobody, purpose=None, before=None, limit=10),
    ):
        with pytest.raises(PersonNotFound) as raised:
            await call
        assert raised.value.metadata == {"person_id": nobody}


async def test_proof_brings_the_consent_of_both_together(store, people, functions, admin):
    mia, holder = await someone(people, news="granted"), await registered(people)
    await store.set(holder.person_id, {"news": "denied"}, source="")

    await SqlLinkStore(functions).link(
        mia, an_account(holder.platform_id), verified=True, link_id=ids.new(), merge_id=ids.new()
    )

    assert await store.consent(mia) == Consent({"news": "denied"}, 2)
