"""The routes of groups and sessions: what each asks the service, and what it makes of it."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from google.protobuf import duration_pb2

from kith.identity.v1 import group_pb2
from kith.identity.v1 import identity_service_pb2 as pb
from tests.support.identityroutes import (
    A_GROUP,
    A_PERSON,
    A_SESSION,
    ADA,
    GROUP,
    GROUP_SHOWN,
    MEMBER,
    MEMBER_SHOWN,
    PERSON,
    PERSON_SHOWN,
    SESSION,
    SESSION_SHOWN,
    Case,
    check,
    name_of,
    struct,
)
from tests.support.scripted import Scripted

# One gateway for all of them: to put one together takes longer than to ask it.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Scripted]:
    async with Scripted().running() as scripted:
        yield scripted


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(running: Scripted) -> AsyncIterator[httpx.AsyncClient]:
    async with running.gateway() as client:
        yield client


@pytest.fixture
def scripted(running: Scripted) -> Scripted:
    running.forget()
    return running


CASES: list[Case] = [
    (
        "POST", "/v1/groups",
        {
            "group_id": GROUP, "kind": "Household", "name": "Home", "metadata": {"n": 1},
            "person_ids": [ADA],
        },
        "CreateGroup",
        pb.CreateGroupRequest(
            group=group_pb2.Group(
                group_id=GROUP, kind="household", name="Home", metadata=struct(n=1)
            ),
            person_ids=[ADA],
        ),
        pb.CreateGroupResponse(group=A_GROUP, created=True),
        201, GROUP_SHOWN,
    ),
    (
        "GET", f"/v1/groups?person_id={ADA}&kind=household&page_size=1&page_token=t", None,
        "ListGroups",
        pb.ListGroupsRequest(person_id=ADA, kind="household", page_size=1, page_token="t"),
        pb.ListGroupsResponse(groups=[A_GROUP], next_page_token="n"),
        200, {"groups": [GROUP_SHOWN], "next_page_token": "n"},
    ),
    (
        "GET", f"{PERSON}/groups?kind=household", None,
        "ListGroups", pb.ListGroupsRequest(person_id=ADA, kind="household", page_size=50),
        pb.ListGroupsResponse(groups=[A_GROUP]),
        200, {"groups": [GROUP_SHOWN], "next_page_token": None},
    ),
    (
        "GET", f"/v1/groups/{GROUP}", None,
        "GetGroup", pb.GetGroupRequest(group_id=GROUP), pb.GetGroupResponse(group=A_GROUP),
        200, GROUP_SHOWN,
    ),
    (
        "PATCH", f"/v1/groups/{GROUP}", {"name": ""},
        "UpdateGroup", pb.UpdateGroupRequest(group_id=GROUP, name="", metadata=struct()),
        pb.UpdateGroupResponse(group=A_GROUP),
        200, GROUP_SHOWN,
    ),
    (
        "PATCH", f"/v1/groups/{GROUP}", {"metadata": {"a": 1}, "etag": "e0"},
        "UpdateGroup", pb.UpdateGroupRequest(group_id=GROUP, metadata=struct(a=1), etag="e0"),
        pb.UpdateGroupResponse(group=A_GROUP),
        200, GROUP_SHOWN,
    ),
    (
        "GET", f"/v1/groups/{GROUP}/members?page_size=1&page_token=t", None,
        "ListGroupMembers",
        pb.ListGroupMembersRequest(group_id=GROUP, page_size=1, page_token="t"),
        pb.ListGroupMembersResponse(members=[MEMBER]),
        200, {"members": [MEMBER_SHOWN], "next_page_token": None},
    ),
    (
        "PUT", f"/v1/groups/{GROUP}/members/{ADA}", {"role": "Owner"},
        "AddGroupMember",
        pb.AddGroupMemberRequest(group_id=GROUP, person_id=ADA, role="owner"),
        pb.AddGroupMemberResponse(member=MEMBER, joined=True),
        201, {**MEMBER_SHOWN, "joined": True},
    ),
    (
        "PUT", f"/v1/groups/{GROUP}/members/{ADA}", None,
        "AddGroupMember", pb.AddGroupMemberRequest(group_id=GROUP, person_id=ADA),
        pb.AddGroupMemberResponse(member=MEMBER, joined=False),
        200, {**MEMBER_SHOWN, "joined": False},
    ),
    (
        "DELETE", f"/v1/groups/{GROUP}/members/{ADA}", None,
        "RemoveGroupMember", pb.RemoveGroupMemberRequest(group_id=GROUP, person_id=ADA),
        pb.RemoveGroupMemberResponse(removed=True),
        200, {"removed": True},
    ),
    (
        "POST", "/v1/sessions", {"session_id": SESSION, "data": {"step": 1}, "ttl_seconds": 60},
        "CreateSession",
        pb.CreateSessionRequest(
            session_id=SESSION, data=struct(step=1), ttl=duration_pb2.Duration(seconds=60)
        ),
        pb.CreateSessionResponse(session=A_SESSION, created=True),
        201, SESSION_SHOWN,
    ),
    (
        "GET", f"/v1/sessions/{SESSION}", None,
        "GetSession", pb.GetSessionRequest(session_id=SESSION),
        pb.GetSessionResponse(session=A_SESSION),
        200, SESSION_SHOWN,
    ),
    (
        "PATCH", f"/v1/sessions/{SESSION}", {"ttl_seconds": 60, "etag": "e0"},
        "UpdateSession",
        pb.UpdateSessionRequest(
            session_id=SESSION, data=struct(), ttl=duration_pb2.Duration(seconds=60), etag="e0"
        ),
        pb.UpdateSessionResponse(session=A_SESSION),
        200, SESSION_SHOWN,
    ),
    (
        "POST", f"/v1/sessions/{SESSION}/claim", {"person_id": ADA},
        "ClaimSession", pb.ClaimSessionRequest(session_id=SESSION, person_id=ADA),
        pb.ClaimSessionResponse(session=A_SESSION, person=A_PERSON),
        200, {"session": SESSION_SHOWN, "person": PERSON_SHOWN},
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=name_of)
async def test_a_route_asks_its_service_and_shows_what_that_answers(
    scripted: Scripted, gateway: httpx.AsyncClient, case: Case
):
    await check(scripted.identity, gateway, case)
