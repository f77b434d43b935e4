"""Groups of people, over a real channel."""

from collections.abc import AsyncIterator

import grpc
import pytest

from kith.identity.v1 import group_pb2
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import ids, structs
from tests.support.cluster import Database, administrator
from tests.support.identity import Stub, a_request, a_struct, identity_service
from tests.support.onboarding import merge
from tests.support.refusals import refusal_of


@pytest.fixture
async def identity(database: Database) -> AsyncIterator[Stub]:
    async with identity_service(database) as stub:
        yield stub


async def somebody(identity: Stub) -> str:
    """The id of a person."""
    return str((await identity.RegisterPerson(a_request())).identity.person_id)


async def a_group(identity: Stub, *person_ids: str, kind: str = "household") -> group_pb2.Group:
    answer = await identity.CreateGroup(
        pb.CreateGroupRequest(group=group_pb2.Group(kind=kind), person_ids=person_ids)
    )
    return answer.group


def joining(group: group_pb2.Group, person_id: str, role: str = "") -> pb.AddGroupMemberRequest:
    return pb.AddGroupMemberRequest(group_id=group.group_id, person_id=person_id, role=role)


async def test_a_group_lives_from_creation_to_the_last_who_leaves(identity):
    mia, max_ = await somebody(identity), await somebody(identity)
    request = pb.CreateGroupRequest(
        group=group_pb2.Group(kind="couple", name="M & M", metadata=a_struct({"since": 2019})),
        person_ids=[mia],
    )

    made = await identity.CreateGroup(request)
    joined = await identity.AddGroupMember(joining(made.group, max_, "guest"))
    renamed = await identity.UpdateGroup(
        pb.UpdateGroupRequest(
            group_id=made.group.group_id,
            name="",
            metadata=a_struct({"city": "Bonn"}),
            etag=made.group.etag,
        )
    )
    members = await identity.ListGroupMembers(
        pb.ListGroupMembersRequest(group_id=made.group.group_id)
    )
    removals = [
        (
            await identity.RemoveGroupMember(
                pb.RemoveGroupMemberRequest(group_id=made.group.group_id, person_id=mia)
            )
        ).removed
        for _ in range(2)
    ]
    left = (await identity.GetGroup(pb.GetGroupRequest(group_id=made.group.group_id))).group

    assert (made.created, made.group.member_count) == (True, 1)
    assert (made.group.kind, made.group.name) == ("couple", "M & M")
    assert made.group.HasField("created_at")
    assert (joined.joined, joined.member.person_id, joined.member.role) == (True, max_, "guest")
    assert joined.member.HasField("joined_at")
    assert renamed.group.name == ""
    assert structs.to_dict(renamed.group.metadata) == {"since": 2019, "city": "Bonn"}
    assert [(member.person_id, member.role) for member in members.members] == [
        (mia, ""), (max_, "guest"),
    ]  # fmt: skip
    assert removals == [True, False]
    assert (left.member_count, left.etag) == (1, renamed.group.etag)


async def test_a_group_id_is_an_idempotency_key(identity):
    group_id = ids.new()
    request = pb.CreateGroupRequest(group=group_pb2.Group(group_id=group_id, kind="guild"))

    answers = [await identity.CreateGroup(request) for _ in range(2)]
    request.group.name = "another"
    refusal = await refusal_of(identity.CreateGroup(request))

    assert [answer.created for answer in answers] == [True, False]
    assert answers[0].group == answers[1].group
    assert answers[0].group.group_id == group_id
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "IDEMPOTENCY_CONFLICT")
    assert refusal.metadata == {"group_id": group_id}


async def test_an_update_without_a_name_keeps_it(identity):
    group = (
        await identity.CreateGroup(
            pb.CreateGroupRequest(group=group_pb2.Group(kind="guild", name="Owls"))
        )
    ).group

    same = await identity.UpdateGroup(pb.UpdateGroupRequest(group_id=group.group_id))
    refusal = await refusal_of(
        identity.UpdateGroup(pb.UpdateGroupRequest(group_id=group.group_id, name="x", etag="old"))
    )

    assert same.group == group
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert refusal.metadata == {"group_id": group.group_id}


async def test_members_and_groups_come_in_pages(identity, database):
    people = [await somebody(identity) for _ in range(5)]
    groups = [await a_group(identity, *people) for _ in range(5)]
    async with administrator(database) as admin:
        await merge(admin, people[0], people[1])

    members, token = [], ""
    while True:
        page = await identity.ListGroupMembers(
            pb.ListGroupMembersRequest(group_id=groups[0].group_id, page_size=2, page_token=token)
        )
        members += [member.person_id for member in page.members]
        token = page.next_page_token
        if not token:
            break
    found, token = [], ""
    while True:
        listed = await identity.ListGroups(
            pb.ListGroupsRequest(person_id=people[0], page_size=2, page_token=token)
        )
        found += listed.groups
        token = listed.next_page_token
        if not token:
            break

    assert sorted(members) == sorted(people[1:])
    assert [group.group_id for group in found] == [group.group_id for group in groups]
    assert {group.member_count for group in found} == {4}


async def test_a_page_of_groups_ends_where_a_message_is_full(identity):
    wide = group_pb2.Group(kind="guild", metadata=a_struct({"scores": [0] * 8000}))
    made = [
        (await identity.CreateGroup(pb.CreateGroupRequest(group=wide))).group.group_id
        for _ in range(50)
    ]
    request = pb.ListGroupsRequest(page_size=500)

    first = await identity.ListGroups(request)
    request.page_token = first.next_page_token
    second = await identity.ListGroups(request)

    assert [group.group_id for group in (*first.groups, *second.groups)] == made
    assert first.next_page_token and not second.next_page_token


async def test_what_is_not_there_is_named(identity):
    mia, nobody, nothing = await somebody(identity), ids.new(), ids.new()
    group = await a_group(identity)

    of_nobody = [
        await refusal_of(call)
        for call in (
            a_group(identity, mia, nobody),
            identity.AddGroupMember(joining(group, nobody)),
            identity.ListGroups(pb.ListGroupsRequest(person_id=nobody)),
        )
    ]
    of_nothing = [
        await refusal_of(call)
        for call in (
            identity.GetGroup(pb.GetGroupRequest(group_id=nothing)),
            identity.UpdateGroup(pb.UpdateGroupRequest(group_id=nothing)),
            identity.ListGroupMembers(pb.ListGroupMembersRequest(group_id=nothing)),
        )
    ]

    for refusal in of_nobody:
        assert (refusal.reason, refusal.metadata) == ("PERSON_NOT_FOUND", {"person_id": nobody})
    for refusal in of_nothing:
        assert (refusal.reason, refusal.metadata) == ("GROUP_NOT_FOUND", {"group_id": nothing})


async def test_a_full_group_takes_nobody_more(identity, monkeypatch):
    monkeypatch.setattr("identity_svc.adapters.sql_groups.MOST_MEMBERS", 1)
    group = await a_group(identity, await somebody(identity))

    refusal = await refusal_of(identity.AddGroupMember(joining(group, await somebody(identity))))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "GROUP_FULL")
    assert refusal.metadata == {"group_id": group.group_id}
