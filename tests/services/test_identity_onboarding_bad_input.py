"""What callers get wrong about verifications, groups, sessions and erasures names the field."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2

from kith.identity.v1 import erasure_pb2, group_pb2
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import pages
from tests.support.cluster import Database
from tests.support.identity import Stub, a_struct, identity_service
from tests.support.refusals import Refusal, refusal_of

SOMEBODY = "01a1fc5d-aad2-70f0-86e8-84cd58513b15"
LARGE = a_struct({"a": "x" * 20_000})
KNOWLEDGE = erasure_pb2.ERASURE_STAGE_KNOWLEDGE


@pytest.fixture
async def identity(database: Database) -> AsyncIterator[Stub]:
    async with identity_service(database) as stub:
        yield stub


def assert_names(refusal: Refusal, field: str) -> None:
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT, refusal
    assert refusal.reason == "INVALID_ARGUMENT"
    assert list(refusal.fields) == [field]
    assert len(refusal.message) < 500


def a_group(**changes: Any) -> group_pb2.Group:
    return group_pb2.Group(**{"kind": "guild", **changes})


def a_start(**changes: str) -> pb.StartLinkVerificationRequest:
    whole = {"person_id": SOMEBODY, "platform": "discord", "platform_id": "mia", **changes}
    return pb.StartLinkVerificationRequest(**whole)


def a_try(**changes: str) -> pb.ConfirmLinkVerificationRequest:
    return pb.ConfirmLinkVerificationRequest(
        **{"verification_id": SOMEBODY, "code": "ACDEFGHJ", **changes}
    )


def a_step(**changes: Any) -> pb.RecordErasureStepRequest:
    return pb.RecordErasureStepRequest(**{"erasure_id": SOMEBODY, "stage": KNOWLEDGE, **changes})


IDS = [
    ("AddGroupMember", pb.AddGroupMemberRequest, ["group_id", "person_id"]),
    ("ClaimSession", pb.ClaimSessionRequest, ["session_id", "person_id"]),
    ("ConfirmLinkVerification", pb.ConfirmLinkVerificationRequest, ["verification_id"]),
    ("GetGroup", pb.GetGroupRequest, ["group_id"]),
    ("GetSession", pb.GetSessionRequest, ["session_id"]),
    ("ListGroupMembers", pb.ListGroupMembersRequest, ["group_id"]),
    ("RecordErasureStep", pb.RecordErasureStepRequest, ["erasure_id"]),
    ("RemoveGroupMember", pb.RemoveGroupMemberRequest, ["group_id", "person_id"]),
    ("StartErasure", pb.StartErasureRequest, ["person_id"]),
    ("StartLinkVerification", pb.StartLinkVerificationRequest, ["person_id"]),
    ("UpdateGroup", pb.UpdateGroupRequest, ["group_id"]),
    ("UpdateSession", pb.UpdateSessionRequest, ["session_id"]),
]
OPTIONAL_IDS = [
    ("CreateSession", pb.CreateSessionRequest, "session_id"),
    ("GetErasure", pb.GetErasureRequest, "erasure_id"),
    ("GetErasure", pb.GetErasureRequest, "person_id"),
    ("ListGroups", pb.ListGroupsRequest, "person_id"),
]
BAD: list[tuple[str, Any, str]] = [
    ("StartLinkVerification", a_start(platform=""), "platform"),
    ("StartLinkVerification", a_start(platform="two words"), "platform"),
    ("StartLinkVerification", a_start(platform_id=" "), "platform_id"),
    ("StartLinkVerification", a_start(platform_id="x" * 257), "platform_id"),
    ("StartLinkVerification", a_start(platform_id="a\0b"), "platform_id"),
    ("ConfirmLinkVerification", a_try(code=""), "code"),
    ("ConfirmLinkVerification", a_try(code=" \n "), "code"),
    ("ConfirmLinkVerification", a_try(code="a\0b"), "code"),
    ("ConfirmLinkVerification", a_try(code="x" * 65), "code"),
    ("CreateGroup", pb.CreateGroupRequest(), "group.kind"),
    ("CreateGroup", pb.CreateGroupRequest(group=a_group(kind="Guild")), "group.kind"),
    ("CreateGroup", pb.CreateGroupRequest(group=a_group(kind="x" * 65)), "group.kind"),
    ("CreateGroup", pb.CreateGroupRequest(group=a_group(name="x" * 257)), "group.name"),
    ("CreateGroup", pb.CreateGroupRequest(group=a_group(name="a\0")), "group.name"),
    ("CreateGroup", pb.CreateGroupRequest(group=a_group(metadata=LARGE)), "group.metadata"),
    ("CreateGroup", pb.CreateGroupRequest(group=a_group(group_id="x")), "group.group_id"),
    (
        "CreateGroup",
        pb.CreateGroupRequest(group=a_group(), person_ids=[SOMEBODY, "x"]),
        "person_ids[1]",
    ),
    (
        "CreateGroup",
        pb.CreateGroupRequest(group=a_group(), person_ids=[SOMEBODY] * 1001),
        "person_ids",
    ),
    ("UpdateGroup", pb.UpdateGroupRequest(group_id=SOMEBODY, name="x" * 257), "name"),
    ("UpdateGroup", pb.UpdateGroupRequest(group_id=SOMEBODY, metadata=LARGE), "metadata"),
    ("UpdateGroup", pb.UpdateGroupRequest(group_id=SOMEBODY, etag="x" * 65), "etag"),
    (
        "AddGroupMember",
        pb.AddGroupMemberRequest(group_id=SOMEBODY, person_id=SOMEBODY, role="Owner"),
        "role",
    ),
    (
        "AddGroupMember",
        pb.AddGroupMemberRequest(group_id=SOMEBODY, person_id=SOMEBODY, role="x" * 65),
        "role",
    ),
    ("ListGroups", pb.ListGroupsRequest(kind="two words"), "kind"),
    ("ListGroups", pb.ListGroupsRequest(kind="Guild"), "kind"),
    ("CreateSession", pb.CreateSessionRequest(data=LARGE), "data"),
    ("CreateSession", pb.CreateSessionRequest(data=a_struct({"a": float("nan")})), "data.a"),
    ("UpdateSession", pb.UpdateSessionRequest(session_id=SOMEBODY, data=LARGE), "data"),
    ("UpdateSession", pb.UpdateSessionRequest(session_id=SOMEBODY, etag="a\0"), "etag"),
    ("RecordErasureStep", a_step(stage=0), "stage"),
    ("RecordErasureStep", a_step(stage=4), "stage"),
    ("RecordErasureStep", a_step(erased={"Items": 1}), "erased"),
    ("RecordErasureStep", a_step(erased={"": 1}), "erased"),
    ("RecordErasureStep", a_step(erased={"items": -1}), "erased.items"),
    ("RecordErasureStep", a_step(remaining={f"n{n}": 0 for n in range(33)}), "remaining"),
    ("GetErasure", pb.GetErasureRequest(), "erasure_id"),
    ("GetErasure", pb.GetErasureRequest(erasure_id=SOMEBODY, person_id=SOMEBODY), "person_id"),
    ("ListErasures", pb.ListErasuresRequest(state=3), "state"),
]
LISTS: list[tuple[str, Any, dict[str, str], tuple[Any, ...]]] = [
    (
        "ListGroupMembers", pb.ListGroupMembersRequest, {"group_id": SOMEBODY},
        ("members", SOMEBODY),
    ),
    ("ListGroups", pb.ListGroupsRequest, {"kind": "guild"}, ("groups", None, "guild")),
    ("ListErasures", pb.ListErasuresRequest, {}, ("erasures", None)),
]  # fmt: skip


async def test_each_field_is_checked(identity):
    for method, request, field in BAD:
        assert_names(await refusal_of(getattr(identity, method)(request)), field)


@pytest.mark.parametrize("bad", ["", "nonsense", "0" * 36, SOMEBODY[:-1], SOMEBODY + "\n"])
async def test_ids_are_uuids(identity, bad):
    for method, kind, names in IDS:
        for name in names:
            request = kind(**{**dict.fromkeys(names, SOMEBODY), name: bad})
            assert_names(await refusal_of(getattr(identity, method)(request)), name)
    for method, kind, name in OPTIONAL_IDS:
        if bad:
            assert_names(await refusal_of(getattr(identity, method)(kind(**{name: bad}))), name)


@pytest.mark.parametrize(
    "ttl",
    [
        {}, {"seconds": 59}, {"seconds": 59, "nanos": 999_999_999}, {"seconds": -60},
        {"seconds": 30 * 86_400, "nanos": 1}, {"seconds": 2**62},
        {"seconds": 60, "nanos": -1}, {"seconds": 60, "nanos": 1_000_000_000},
    ],
)  # fmt: skip
async def test_sessions_last_one_minute_to_thirty_days(identity, ttl):
    lasting = duration_pb2.Duration(**ttl)

    for call in (
        identity.CreateSession(pb.CreateSessionRequest(ttl=lasting)),
        identity.UpdateSession(pb.UpdateSessionRequest(session_id=SOMEBODY, ttl=lasting)),
    ):
        assert_names(await refusal_of(call), "ttl")


async def test_pages_are_asked_for_rightly(identity):
    moment = "2026-01-01T00:00:00+00:00"
    for method, kind, given, query in LISTS:
        call = getattr(identity, method)
        assert_names(await refusal_of(call(kind(**given, page_size=-1))), "page_size")
        for token in (
            "nonsense",
            pages.token([moment, SOMEBODY], "another"),
            pages.token([moment, "nobody"], *query),
            pages.token(["yesterday", SOMEBODY], *query),
            pages.token(["2026-01-01T00:00:00", SOMEBODY], *query),
            pages.token([moment], *query),
        ):
            assert_names(await refusal_of(call(kind(**given, page_token=token))), "page_token")
