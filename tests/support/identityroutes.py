"""People, groups and sessions as the service answers them and as the gateway shows them."""

from datetime import UTC, datetime
from typing import Any

import httpx
from google.protobuf import struct_pb2, timestamp_pb2

from kith.identity.v1 import group_pb2, person_pb2, session_pb2
from svckit import errors, ids, structs
from tests.support.messages import problem
from tests.support.scripted import Script

# The same in each run, because they stand in the names of tests.
ADA, GRACE, LINK, MERGE, GROUP, SESSION, VERIFICATION = (
    ids.named("test", str(n)) for n in range(7)
)
PERSON = f"/v1/persons/{ADA}"

NOON = timestamp_pb2.Timestamp(seconds=int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()))
AT_NOON = "2026-03-01T12:00:00Z"


def struct(**values: Any) -> struct_pb2.Struct:
    return structs.from_dict(values)


CONSENT = person_pb2.Consent(purposes={"messages": person_pb2.CONSENT_STATE_DENIED}, version=2)
A_MERGE = person_pb2.Merge(
    merge_id=MERGE, source_person_id=GRACE, target_person_id=ADA, merged_at=NOON, reason="told"
)
A_PERSON = person_pb2.Person(
    person_id=ADA,
    person_ids=[ADA, GRACE],
    created_at=NOON,
    metadata=struct(name="Ada"),
    consent=CONSENT,
    etag="e1",
    merged_persons=[
        person_pb2.MergedPerson(
            person_id=GRACE, merge_id=MERGE, created_at=NOON, metadata=struct(name="Grace")
        )
    ],
    merges=[A_MERGE],
)
A_LINK = person_pb2.Link(
    link_id=LINK, person_id=ADA, platform="web", platform_id="a", verified=True, verified_at=NOON,
    verification_method="code", created_at=NOON,
)  # fmt: skip
A_GROUP = group_pb2.Group(
    group_id=GROUP, kind="household", name="Home", etag="e1", member_count=2, created_at=NOON
)
A_SESSION = session_pb2.Session(
    session_id=SESSION, data=struct(step=1), state=session_pb2.SESSION_STATE_OPEN, etag="e1",
    created_at=NOON, expires_at=NOON,
)  # fmt: skip

MERGE_SHOWN = {
    "merge_id": MERGE, "source_person_id": GRACE, "target_person_id": ADA, "merged_at": AT_NOON,
    "unmerged_at": None, "reason": "told",
}  # fmt: skip
PERSON_SHOWN = {
    "person_id": ADA,
    "person_ids": [ADA, GRACE],
    "created_at": AT_NOON,
    "last_seen_at": None,
    "metadata": {"name": "Ada"},
    "consent": {"purposes": {"messages": "denied"}, "version": 2},
    "merged_persons": [
        {
            "person_id": GRACE, "merge_id": MERGE, "created_at": AT_NOON,
            "metadata": {"name": "Grace"},
        }
    ],
    "merges": [MERGE_SHOWN],
    "etag": "e1",
}  # fmt: skip
LINK_SHOWN = {
    "link_id": LINK, "person_id": ADA, "platform": "web", "platform_id": "a",
    "original_platform_id": "", "verified": True, "verified_at": AT_NOON,
    "verification_method": "code", "created_at": AT_NOON, "ended_at": None,
}  # fmt: skip
GROUP_SHOWN = {
    "group_id": GROUP, "kind": "household", "name": "Home", "metadata": {}, "member_count": 2,
    "created_at": AT_NOON, "etag": "e1",
}  # fmt: skip
SESSION_SHOWN = {
    "session_id": SESSION, "data": {"step": 1}, "state": "open", "created_at": AT_NOON,
    "expires_at": AT_NOON, "person_id": None, "claimed_at": None, "etag": "e1",
}  # fmt: skip
MEMBER = group_pb2.GroupMember(person_id=ADA, role="owner", joined_at=NOON)
MEMBER_SHOWN = {"person_id": ADA, "role": "owner", "joined_at": AT_NOON}


class Nothing(errors.NotFound):
    reason = "SOMETHING_NOT_FOUND"


# Method, path, body; the service's method, the request expected, the answer; status, answer shown.
Case = tuple[str, str, Any, str, Any, Any, int, Any]


def name_of(case: Case) -> str:
    """What a case is called among tests."""
    return f"{case[0]} {case[3]} {case[6]}"


async def check(script: Script, gateway: httpx.AsyncClient, case: Case) -> None:
    """A route asks its service, shows what that answers, and says what it refuses."""
    method, path, body, rpc, request, response, status, shown = case
    script.answer(rpc, response)

    answer = await gateway.request(method, path, json=body)

    assert answer.status_code == status, answer.text
    assert answer.json() == shown
    assert script.last(rpc) == request
    if "etag" in shown:
        assert answer.headers["etag"] == '"e1"'

    script.answer(rpc, Nothing("there is nothing", thing="5"))
    refused = await gateway.request(method, path, json=body)

    assert (refused.status_code, problem(refused)["reason"]) == (404, "SOMETHING_NOT_FOUND")
    assert problem(refused)["thing"] == "5"
