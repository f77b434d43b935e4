"""What every GroupStore does, whichever way it reaches its database."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from identity_svc.adapters.sql_groups import SqlGroupStore
from identity_svc.adapters.sql_people import SqlIdentityStore
from identity_svc.domain import groups as domain
from identity_svc.domain.groups import (
    GroupConflict,
    GroupEtagMismatch,
    GroupFull,
    GroupNotFound,
    Member,
    NewGroup,
)
from identity_svc.domain.people import MetadataTooLarge, PersonNotFound
from identity_svc.domain.places import Place
from identity_svc.ports.groups import GroupStore
from svckit import ids, sql
from tests.support.cluster import Database, administrator
from tests.support.identity import registered
from tests.support.onboarding import a_group, join, merge, outcomes_of, unmerge


@pytest.fixture
def schema() -> str:
    return "identity"


@pytest.fixture
def store(functions: sql.SqlFunctions) -> GroupStore:
    """A store without groups, over each transport in turn."""
    return SqlGroupStore(functions)


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    async with administrator(database) as connection:
        yield connection


@pytest.fixture
async def people(functions: sql.SqlFunctions) -> list[str]:
    """The ids of four people, in order."""
    store = SqlIdentityStore(functions)
    return sorted([(await registered(store)).person_id for _ in range(4)])


async def members_of(store: GroupStore, group_id: str) -> dict[str, str]:
    """Roles by person."""
    found = await store.members(group_id, after=None, limit=500)
    assert len({member.person_id for member in found}) == len(found)
    return {member.person_id: member.role for member in found}


# Groups


async def test_a_group_is_created_with_its_members(store, people):
    made = await store.create(
        NewGroup("guild", "Night owls", {"level": 3}, [*people, people[0]]), call_id=ids.new()
    )

    assert made.created
    assert (made.group.kind, made.group.name) == ("guild", "Night owls")
    assert made.group.metadata == {"level": 3}
    assert made.group.member_count == 4
    assert await store.get(made.group.group_id) == made.group
    assert await members_of(store, made.group.group_id) == dict.fromkeys(people, "")


async def test_a_repetition_answers_the_group_and_another_body_is_refused(store, people):
    new, call_id = NewGroup("couple", person_ids=people[:2]), ids.new()
    first = await store.create(new, call_id=call_id)
    await join(store, first.group, people[2])

    of_the_seam = await store.create(new, call_id=call_id)
    of_the_client = await store.create(
        NewGroup("couple", person_ids=people[1::-1], group_id=new.group_id), call_id=ids.new()
    )
    with pytest.raises(GroupConflict) as raised:
        await store.create(NewGroup("guild", group_id=new.group_id), call_id=ids.new())

    assert (of_the_seam.created, of_the_client.created) == (True, False)
    assert of_the_client.group == await store.get(new.group_id)
    assert raised.value.metadata == {"group_id": new.group_id}


async def test_a_group_with_somebody_unknown_is_not_created_and_names_them(store, people):
    nobody = [ids.new(), ids.new()]
    new = NewGroup("couple", person_ids=[people[0], nobody[1], nobody[0]])

    with pytest.raises(PersonNotFound) as raised:
        await store.create(new, call_id=ids.new())

    assert raised.value.metadata == {"person_id": nobody[1]}
    with pytest.raises(GroupNotFound):
        await store.get(new.group_id)


async def test_of_many_who_create_one_group_at_once_one_is_told_so(store, people):
    new = NewGroup("guild", person_ids=people)

    outcomes = await asyncio.gather(*(store.create(new, call_id=ids.new()) for _ in range(16)))

    assert sorted(outcome.created for outcome in outcomes) == [False] * 15 + [True]
    assert len({outcome.group.etag for outcome in outcomes}) == 1


async def test_an_update_changes_name_and_metadata_and_keeps_the_rest(store):
    group = await a_group(store, name="Home", metadata={"a": 1, "b": {"c": 2, "d": 3}})

    changed = await store.update(
        group.group_id, name=None, patch={"a": None, "b": {"c": 4}}, etag=group.etag,
        new_etag=ids.new(),
    )  # fmt: skip
    renamed = await store.update(
        group.group_id, name="", patch={}, etag=changed.etag, new_etag=ids.new()
    )
    same = await store.update(
        group.group_id, name="", patch={"x": None}, etag=None, new_etag=ids.new()
    )

    assert (changed.name, changed.metadata) == ("Home", {"b": {"c": 4, "d": 3}})
    assert renamed.name == ""
    assert len({group.etag, changed.etag, renamed.etag}) == 3
    assert same == renamed == await store.get(group.group_id)


async def test_an_update_needs_the_etag_that_the_group_has(store, people):
    group, new_etag = await a_group(store), ids.new()
    await join(store, group, people[0])

    first = await store.update(
        group.group_id, name="a", patch={}, etag=group.etag, new_etag=new_etag
    )
    again = await store.update(
        group.group_id, name="a", patch={}, etag=group.etag, new_etag=new_etag
    )
    with pytest.raises(GroupEtagMismatch):
        await store.update(group.group_id, name="b", patch={}, etag=group.etag, new_etag=ids.new())

    assert again == first


async def test_metadata_stays_within_its_bound(store):
    group = await a_group(store, metadata={"a": "x" * 10_000})

    with pytest.raises(MetadataTooLarge):
        await store.update(
            group.group_id, name="b", patch={"b": "x" * 10_000}, etag=None, new_etag=ids.new()
        )

    assert await store.get(group.group_id) == group


@pytest.mark.parametrize("limit", [1, 2, 500])
async def test_groups_are_listed_in_order_of_creation_by_person_and_by_kind(store, people, limit):
    mia, max_ = people[:2]
    groups = [
        await a_group(store, *members, kind=kind)
        for kind, members in (
            ("guild", [mia]), ("couple", [mia, max_]), ("guild", [max_]), ("guild", []),
            ("household", [mia]),
        )
    ]  # fmt: skip

    async def listed(person_id: str | None, kind: str | None) -> list[int]:
        found: list[domain.Group] = []
        while True:
            after = Place(found[-1].created_at, found[-1].group_id) if found else None
            page = await store.list(person_id=person_id, kind=kind, after=after, limit=limit)
            found += page
            if len(page) < limit:
                return [groups.index(group) for group in found]

    assert await listed(None, None) == [0, 1, 2, 3, 4]
    assert await listed(None, "guild") == [0, 2, 3]
    assert await listed(mia, None) == [0, 1, 4]
    assert await listed(max_, "guild") == [2]
    assert await listed(people[2], None) == []
    with pytest.raises(PersonNotFound):
        await listed(ids.new(), None)


# Members


async def test_joining_again_changes_the_role_and_nothing_else(store, people):
    group, call_id = await a_group(store), ids.new()

    first = await store.add(group.group_id, people[0], role="owner", call_id=call_id)
    of_the_seam = await store.add(group.group_id, people[0], role="owner", call_id=call_id)
    again = await store.add(group.group_id, people[0], role="guest", call_id=ids.new())
    cleared = await store.add(group.group_id, people[0], role="", call_id=ids.new())

    assert [first.joined, of_the_seam.joined, again.joined] == [True, True, False]
    assert [first.member.role, again.member.role, cleared.member.role] == ["owner", "guest", ""]
    assert {first.member.joined_at} == {again.member.joined_at, cleared.member.joined_at}
    assert (await store.get(group.group_id)).member_count == 1
    assert (await store.get(group.group_id)).etag == group.etag


async def test_who_leaves_is_gone_and_leaving_again_changes_nothing(store, people):
    group = await a_group(store, *people[:2])

    assert await store.remove(group.group_id, people[0])
    assert not await store.remove(group.group_id, people[0])
    assert await members_of(store, group.group_id) == {people[1]: ""}


async def test_members_are_listed_in_order_of_joining(store, people):
    group = await a_group(store)
    for person_id in reversed(people):
        await join(store, group, person_id)

    found: list[Member] = []
    while True:
        after = Place(found[-1].joined_at, found[-1].row_id) if found else None
        page = await store.members(group.group_id, after=after, limit=3)
        found += page
        if len(page) < 3:
            break

    assert [member.person_id for member in found] == people[::-1]


async def test_what_does_not_exist_is_named(store, people):
    group = await a_group(store)
    for call in (
        store.get(ids.new()),
        store.update(ids.new(), name="a", patch={}, etag=None, new_etag=ids.new()),
        store.add(ids.new(), people[0], role="", call_id=ids.new()),
        store.remove(ids.new(), people[0]),
        store.members(ids.new(), after=None, limit=1),
    ):
        with pytest.raises(GroupNotFound):
            await call
    for call in (
        store.add(group.group_id, ids.new(), role="", call_id=ids.new()),
        store.remove(group.group_id, ids.new()),
    ):
        with pytest.raises(PersonNotFound):
            await call


async def test_a_group_never_has_more_members_than_it_may(store, people, monkeypatch):
    monkeypatch.setattr("identity_svc.adapters.sql_groups.MOST_MEMBERS", 2)
    group = await a_group(store)

    answers, errors = await outcomes_of(
        [
            store.add(group.group_id, person_id, role="", call_id=ids.new())
            for person_id in people * 4
        ]
    )

    assert {type(error) for error in errors} == {GroupFull}
    assert len({answer.member.person_id for answer in answers}) == 2
    assert (await store.get(group.group_id)).member_count == 2


# Merged people


async def test_merged_people_are_one_member_and_unmerged_are_two_again(store, people, admin):
    mia, alias, max_ = people[:3]
    group = await a_group(store)
    first = await join(store, group, alias, "owner")
    await join(store, group, max_, "guest")
    await join(store, group, mia)
    before = await store.members(group.group_id, after=None, limit=10)

    await merge(admin, alias, mia)
    merged = await store.members(group.group_id, after=None, limit=10)
    count = (await store.get(group.group_id)).member_count
    await unmerge(admin, alias)

    assert [(member.person_id, member.role) for member in merged] == [
        (mia, "owner"), (max_, "guest"),
    ]  # fmt: skip
    assert merged[0].joined_at == first.joined_at
    assert count == 2
    assert await store.members(group.group_id, after=None, limit=10) == before


async def test_of_two_roles_of_one_person_the_one_given_last_counts(store, people, admin):
    mia, alias = people[:2]
    group = await a_group(store)
    await join(store, group, mia, "guest")
    await join(store, group, alias, "owner")
    await join(store, group, mia, "host")

    await merge(admin, alias, mia)

    assert await members_of(store, group.group_id) == {mia: "host"}


async def test_a_role_given_while_merged_stays_with_both(store, people, admin):
    mia, alias = people[:2]
    group = await a_group(store)
    await join(store, group, alias, "owner")
    await join(store, group, mia, "guest")
    await merge(admin, alias, mia)

    changed = await store.add(group.group_id, alias, role="", call_id=ids.new())
    while_merged = await members_of(store, group.group_id)
    await join(store, group, mia, "host")
    await unmerge(admin, alias)

    assert (changed.member.person_id, changed.member.role, changed.joined) == (mia, "", False)
    assert while_merged == {mia: ""}
    assert await members_of(store, group.group_id) == {alias: "host", mia: "host"}


async def test_who_joins_while_merged_has_joined_by_the_id_that_was_given(store, people, admin):
    mia, alias = people[:2]
    group = await a_group(store, alias)
    await merge(admin, alias, mia)

    added = await store.add(group.group_id, mia, role="", call_id=ids.new())
    count = (await store.get(group.group_id)).member_count
    await unmerge(admin, alias)

    assert not added.joined
    assert count == 1
    assert await members_of(store, group.group_id) == {alias: "", mia: ""}


async def test_who_leaves_by_one_id_leaves_by_all_of_them(store, people, admin):
    mia, alias, third = people[:3]
    group = await a_group(store, mia, alias, third)
    await merge(admin, third, alias)
    await merge(admin, alias, mia)

    removed = await store.remove(group.group_id, third)
    await unmerge(admin, third)

    assert removed
    assert await members_of(store, group.group_id) == {}


async def test_groups_are_found_by_any_id_of_a_person(store, people, admin):
    mia, alias, max_ = people[:3]
    groups = [
        await a_group(store, alias),
        await a_group(store, mia, alias),
        await a_group(store, max_),
        await a_group(store, mia),
    ]
    await merge(admin, alias, mia)

    for person_id in (mia, alias):
        found = await store.list(person_id=person_id, kind=None, after=None, limit=10)
        assert [group.group_id for group in found] == [
            groups[index].group_id for index in (0, 1, 3)
        ]
        assert [group.member_count for group in found] == [1, 1, 1]
