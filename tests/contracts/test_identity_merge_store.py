"""What every MergeStore does, whichever way it reaches its database."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from identity_svc.adapters.sql_links import SqlLinkStore
from identity_svc.adapters.sql_merges import SqlMergeStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.domain.merges import Merged, MergeNotFound, NotMerged, TooManySubjects, Unmerged
from identity_svc.domain.people import PersonNotFound
from identity_svc.ports.merges import MergeStore
from identity_svc.ports.people import IdentityStore
from svckit import ids, sql
from tests.support.cluster import Database, administrator
from tests.support.forest import assert_sound
from tests.support.identity import an_account, linked, person_of, registered


@pytest.fixture
def schema() -> str:
    return "identity"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> MergeStore:
    """A store without anybody in it, over each transport in turn."""
    return SqlMergeStore(functions)


@pytest.fixture
def people(functions: sql.SqlFunctions) -> IdentityStore:
    return SqlIdentityStore(functions)


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    async with administrator(database) as connection:
        yield connection
        await assert_sound(connection)


async def some(people: IdentityStore, count: int) -> list[str]:
    """The ids of people, who were created in this order."""
    return [(await registered(people)).person_id for _ in range(count)]


async def merge(store: MergeStore, source: str, target: str, **changes: Any) -> Merged:
    return await store.merge(source, target, **{"reason": "", "merge_id": ids.new(), **changes})


async def unmerge(store: MergeStore, **which: str) -> Unmerged:
    call = {"merge_id": None, "source_person_id": None, "unmerge_id": ids.new(), **which}
    return await store.unmerge(**call)


async def person_ids(people: IdentityStore, person_id: str) -> list[str]:
    return (await person_of(people, person_id)).person_ids


async def test_the_source_becomes_part_of_the_target(store, people, admin):
    source = await registered(people, account=an_account("s"), metadata={"name": "Mia"})
    target = await registered(people, account=an_account("t"), metadata={"name": "Max"})

    done = await merge(store, source.person_id, target.person_id, reason="the same phone")

    assert done.merged
    assert (done.merge.source_person_id, done.merge.target_person_id, done.merge.reason) == (
        source.person_id, target.person_id, "the same phone"
    )  # fmt: skip
    assert done.merge.unmerged_at is None
    person = done.person
    assert person.person_id == target.person_id
    assert person.person_ids == [target.person_id, source.person_id]
    assert person.subject_ids == [
        target.person_id, target.link_id, source.person_id, source.link_id
    ]  # fmt: skip
    assert person.metadata == {"name": "Max"}
    assert [(one.person_id, one.merge_id, one.metadata) for one in person.merged_persons] == [
        (source.person_id, done.merge.merge_id, {"name": "Mia"})
    ]
    assert person.merges == [done.merge]
    assert await people.get([source.person_id, target.person_id]) == [person, person]
    [resolved] = await people.resolve([an_account("s")])
    assert (resolved.person_id, resolved.link_id) == (target.person_id, source.link_id)


async def test_half_a_person_lacks_what_a_reader_of_subjects_does_not_need(store, people):
    mia, max_ = await some(people, 2)
    whole = (await merge(store, mia, max_)).person

    [found] = await people.get([mia], whole=False)

    assert (found.person_ids, found.subject_ids) == (whole.person_ids, whole.subject_ids)
    assert (found.consent, found.etag, found.created_at) == (
        whole.consent, whole.etag, whole.created_at
    )  # fmt: skip
    assert (found.metadata, found.merged_persons, found.merges) == (None, [], [])


async def test_a_change_of_an_alias_is_the_persons(store, people):
    mia = await registered(people, metadata={"name": "Mia"})
    max_ = await registered(people, metadata={"name": "Max"})
    merged = (await merge(store, mia.person_id, max_.person_id)).person

    changed = await people.update(
        mia.person_id, {"age": 31}, etag=merged.etag, new_etag=(new := ids.new())
    )

    assert (changed.person_id, changed.metadata) == (max_.person_id, {"name": "Max", "age": 31})
    assert changed.etag == new
    assert changed.merged_persons[0].metadata == {"name": "Mia"}
    parted = await unmerge(store, source_person_id=mia.person_id)
    assert parted.source.metadata == {"name": "Mia"}
    assert parted.target.metadata == {"name": "Max", "age": 31}


async def test_those_who_are_one_stay_as_they_are_in_either_direction(store, people):
    mia, max_, eva = await some(people, 3)
    first = await merge(store, mia, max_)
    second = await merge(store, max_, eva)

    for source, target, holds in (
        (mia, max_, first), (max_, mia, second), (mia, eva, first), (eva, mia, first),
        (eva, max_, second),
    ):  # fmt: skip
        again = await merge(store, source, target)
        assert not again.merged
        assert again.merge == holds.merge
        assert again.person == second.person


async def test_chains_lead_to_their_end_and_come_apart_anywhere(store, people, admin):
    a, b, c, d = await some(people, 4)
    for source, target in ((a, b), (b, c), (c, d)):
        await merge(store, source, target)
    assert await person_ids(people, a) == [d, a, b, c]

    middle = await unmerge(store, source_person_id=b)

    assert (middle.source.person_id, middle.source.person_ids) == (b, [b, a])
    assert (middle.target.person_id, middle.target.person_ids) == (d, [d, c])
    leaf = await unmerge(store, source_person_id=a)
    assert (leaf.source.person_ids, leaf.target.person_ids) == ([a], [b])
    last = await unmerge(store, merge_id=(await person_of(people, d)).merges[-1].merge_id)
    assert (last.source.person_ids, last.target.person_ids) == ([c], [d])


async def test_merging_an_alias_merges_whom_they_are(store, people, admin):
    a, b, c, d = await some(people, 4)
    await merge(store, a, b)
    await merge(store, c, d)

    done = await merge(store, a, c)

    assert (done.merge.source_person_id, done.merge.target_person_id) == (b, d)
    assert done.person.person_ids == [d, a, c, b]
    # The merge by which this very one is an alias.
    parted = await unmerge(store, source_person_id=a)
    assert (parted.source.person_ids, parted.target.person_ids) == ([a], [d, c, b])


async def test_those_who_came_apart_may_merge_back_the_other_way(store, people, admin):
    mia, max_ = await some(people, 2)
    first = (await merge(store, mia, max_)).merge
    undone = (await unmerge(store, merge_id=first.merge_id)).merge

    second = (await merge(store, max_, mia)).merge

    assert await person_ids(people, max_) == [mia, max_]
    assert (await person_of(people, mia)).merges == [undone, second]


async def test_who_comes_apart_is_told_of_the_merge_that_was(store, people):
    mia, max_ = await some(people, 2)
    merged = (await merge(store, mia, max_)).merge

    parted = await unmerge(store, merge_id=merged.merge_id)

    assert parted.unmerged
    assert parted.merge.merge_id == merged.merge_id
    assert parted.merge.unmerged_at >= merged.merged_at
    assert [one.person_id for one in (parted.source, parted.target)] == [mia, max_]
    for person in (parted.source, parted.target):
        assert person.merges == [parted.merge]
        assert person.merged_persons == []


async def test_what_was_linked_while_merged_belongs_to_whom_it_was_linked(store, people, functions):
    mia, max_ = await registered(people), await registered(people)
    links = SqlLinkStore(functions)
    await merge(store, mia.person_id, max_.person_id)
    to_alias = (await linked(links, mia.person_id)).link.link_id
    to_root = (await linked(links, max_.person_id)).link.link_id

    parted = await unmerge(store, source_person_id=mia.person_id)

    assert parted.source.subject_ids == [mia.person_id, mia.link_id, to_alias]
    assert parted.target.subject_ids == [max_.person_id, max_.link_id, to_root]


async def test_repeated_calls_are_answered_as_the_first_time(store, people, admin):
    mia, max_ = await some(people, 2)
    merge_id, unmerge_id = ids.new(), ids.new()

    first = await merge(store, mia, max_, merge_id=merge_id)
    again = await merge(store, mia, max_, merge_id=merge_id)
    parted = await unmerge(store, source_person_id=mia, unmerge_id=unmerge_id)
    parted_again = await unmerge(store, source_person_id=mia, unmerge_id=unmerge_id)
    late = await merge(store, mia, max_, merge_id=merge_id)

    assert again == first
    assert parted_again == parted
    # A straggler does not undo the undoing.
    assert late.merge == parted.merge
    assert await person_ids(people, max_) == [max_]


async def test_what_came_apart_stays_so_when_it_is_said_again(store, people):
    mia, max_ = await some(people, 2)
    merge_id = (await merge(store, mia, max_)).merge.merge_id
    first = await unmerge(store, merge_id=merge_id)

    again = await unmerge(store, merge_id=merge_id)
    with pytest.raises(NotMerged) as raised:
        await unmerge(store, source_person_id=mia)

    assert not again.unmerged
    assert (again.merge, again.source, again.target) == (first.merge, first.source, first.target)
    assert raised.value.metadata == {"person_id": mia}


async def test_nobody_and_no_merge_are_named(store, people):
    [mia] = await some(people, 1)
    nobody = ids.new()

    for source, target in ((nobody, mia), (mia, nobody)):
        with pytest.raises(PersonNotFound) as raised:
            await merge(store, source, target)
        assert raised.value.metadata == {"person_id": nobody}
    with pytest.raises(PersonNotFound):
        await unmerge(store, source_person_id=nobody)
    with pytest.raises(MergeNotFound) as unknown:
        await unmerge(store, merge_id=nobody)
    assert unknown.value.metadata == {"merge_id": nobody}
    with pytest.raises(NotMerged):
        await unmerge(store, source_person_id=mia)


async def test_of_very_many_merges_the_last_hundred_are_told(store, people, admin):
    mia, max_, eva = await some(people, 3)
    await admin.execute(
        """INSERT INTO identity.merges
           SELECT gen_random_uuid(), $1, $2, now() - (n || ' min')::interval, now(), NULL, n::text
           FROM generate_series(1, 120) n""",
        mia, max_,
    )  # fmt: skip

    done = await merge(store, mia, eva)

    assert [m.reason for m in done.person.merges] == [str(n) for n in range(99, 0, -1)] + [""]
    assert len((await person_of(people, max_)).merges) == 100


async def test_people_with_too_many_subjects_together_are_not_merged(store, people, admin):
    mia, max_ = await some(people, 2)
    for person_id in (mia, max_):
        await admin.execute(
            """INSERT INTO identity.identity_links
                   (link_id, person_id, platform, platform_id, original_platform_id, ended_at)
               SELECT gen_random_uuid(), $1, 'web', n::text, n::text, now()
               FROM generate_series(1, 499) n""",
            person_id,
        )

    with pytest.raises(TooManySubjects) as raised:
        await merge(store, mia, max_)

    assert raised.value.metadata == {"person_id": max_}
    assert await person_ids(people, mia) == [mia]
    assert (await person_of(people, mia)).merges == []


async def test_being_seen_counts_for_the_person_as_they_are_now(store, people):
    mia, max_ = await some(people, 2)
    await people.touch([mia])
    seen = (await person_of(people, mia)).last_seen_at

    merged = (await merge(store, mia, max_)).person
    parted = await unmerge(store, source_person_id=mia)

    assert merged.last_seen_at == seen
    assert (parted.source.last_seen_at, parted.target.last_seen_at) == (seen, seen)


async def test_merges_in_both_directions_at_once_make_one_of_two(store, people, admin):
    pairs = [await some(people, 2) for _ in range(6)]

    outcomes = await asyncio.gather(
        *(
            call
            for mia, max_ in pairs
            for call in (merge(store, mia, max_), merge(store, max_, mia))
        )
    )

    assert sum(outcome.merged for outcome in outcomes) == len(pairs)
    for (mia, max_), one, other in zip(pairs, outcomes[::2], outcomes[1::2], strict=True):
        assert one.merge == other.merge
        assert set(await person_ids(people, mia)) == {mia, max_}


async def test_a_ring_of_merges_at_once_ends_as_one_person(store, people, admin):
    somebody = await some(people, 12)

    outcomes = await asyncio.gather(
        *(
            merge(store, somebody[n], somebody[(n + 1) % len(somebody)])
            for n in range(len(somebody))
        )
    )

    assert sum(outcome.merged for outcome in outcomes) == len(somebody) - 1
    assert set(await person_ids(people, somebody[0])) == set(somebody)


async def test_merging_and_parting_at_once_lose_nobody(store, people, admin):
    somebody = await some(people, 8)

    async def churn(number: int) -> None:
        for step in range(6):
            source, target = (somebody[(number * k + step) % len(somebody)] for k in (3, 5))
            if source != target:
                done = await merge(store, source, target)
                if (number + step) % 2:
                    await unmerge(store, merge_id=done.merge.merge_id)

    await asyncio.gather(*(churn(number) for number in range(8)))

    found = [await person_of(people, person_id) for person_id in somebody]
    assert {one for person in found for one in person.person_ids} == set(somebody)
    assert all(one in person.person_ids for one, person in zip(somebody, found, strict=True))
    await assert_sound(admin)
