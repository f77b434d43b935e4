"""The routes of people: what each asks the service, and what it makes of the answer."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import person_pb2
from svckit import errors, ids
from tests.support.identityroutes import (
    A_GROUP,
    A_LINK,
    A_MERGE,
    A_PERSON,
    A_SESSION,
    ADA,
    AT_NOON,
    CONSENT,
    GRACE,
    GROUP,
    LINK,
    LINK_SHOWN,
    MERGE,
    MERGE_SHOWN,
    NOON,
    PERSON,
    PERSON_SHOWN,
    SESSION,
    VERIFICATION,
    Case,
    check,
    name_of,
    struct,
)
from tests.support.messages import fields, problem
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
        "POST", "/v1/persons",
        {"person_id": ADA, "metadata": {"name": "Ada"}, "consent": {"messages": "denied"}},
        "CreatePerson",
        pb.CreatePersonRequest(
            person_id=ADA, metadata=struct(name="Ada"),
            consent=person_pb2.Consent(purposes={"messages": person_pb2.CONSENT_STATE_DENIED}),
        ),
        pb.CreatePersonResponse(person=A_PERSON, created=True),
        201, PERSON_SHOWN,
    ),
    (
        "POST", "/v1/persons", {"person_id": ADA},
        "CreatePerson", pb.CreatePersonRequest(
            person_id=ADA, metadata=struct(), consent=person_pb2.Consent()
        ),
        pb.CreatePersonResponse(person=A_PERSON, created=False),
        200, PERSON_SHOWN,
    ),
    (
        "GET",
        "/v1/persons?platform=Web&metadata=%7B%22a%22%3A%7B%22b%22%3A1%7D%7D"
        f"&seen_from={AT_NOON}&seen_to={AT_NOON}&page_size=3&page_token=t",
        None,
        "ListPersons",
        pb.ListPersonsRequest(
            platform="web", metadata=struct(a={"b": 1}), seen_from=NOON, seen_to=NOON,
            page_size=3, page_token="t",
        ),
        pb.ListPersonsResponse(persons=[A_PERSON], next_page_token="n"),
        200, {"persons": [PERSON_SHOWN], "next_page_token": "n"},
    ),
    (
        "GET", PERSON, None,
        "GetPerson", pb.GetPersonRequest(person_id=ADA), pb.GetPersonResponse(person=A_PERSON),
        200, PERSON_SHOWN,
    ),
    (
        "PATCH", PERSON, {"metadata": {"a": None}, "etag": "e0"},
        "UpdatePerson",
        pb.UpdatePersonRequest(person_id=ADA, metadata=struct(a=None), etag="e0"),
        pb.UpdatePersonResponse(person=A_PERSON),
        200, PERSON_SHOWN,
    ),
    (
        "POST", f"{PERSON}/links",
        {"platform": "Web", "platform_id": "a", "verified": True, "verification_method": "oauth"},
        "LinkIdentity",
        pb.LinkIdentityRequest(
            person_id=ADA, platform="web", platform_id="a", verified=True,
            verification_method="oauth",
        ),
        pb.LinkIdentityResponse(link=A_LINK, created=True, merge=A_MERGE),
        201, {**LINK_SHOWN, "created": True, "merge": MERGE_SHOWN},
    ),
    (
        "DELETE", f"{PERSON}/links/{LINK}", None,
        "UnlinkIdentity", pb.UnlinkIdentityRequest(person_id=ADA, link_id=LINK),
        pb.UnlinkIdentityResponse(link=A_LINK),
        200, LINK_SHOWN,
    ),
    (
        "POST", f"{PERSON}/links/verifications", {"platform": "web", "platform_id": "a"},
        "StartLinkVerification",
        pb.StartLinkVerificationRequest(person_id=ADA, platform="web", platform_id="a"),
        pb.StartLinkVerificationResponse(
            verification_id=VERIFICATION, code="K7QX2MPA", expires_at=NOON
        ),
        201, {"verification_id": VERIFICATION, "code": "K7QX2MPA", "expires_at": AT_NOON},
    ),
    (
        "POST", f"/v1/links/verifications/{VERIFICATION}/confirm", {"code": "k7qx 2mpa"},
        "ConfirmLinkVerification",
        pb.ConfirmLinkVerificationRequest(verification_id=VERIFICATION, code="k7qx 2mpa"),
        pb.ConfirmLinkVerificationResponse(link=A_LINK, created=False),
        200, {**LINK_SHOWN, "created": False, "merge": None},
    ),
    (
        "POST", f"{PERSON}/merge", {"source_person_id": GRACE, "reason": "told"},
        "MergePersons",
        pb.MergePersonsRequest(source_person_id=GRACE, target_person_id=ADA, reason="told"),
        pb.MergePersonsResponse(person=A_PERSON, merged=True, merge=A_MERGE),
        200, {"person": PERSON_SHOWN, "merged": True, "merge": MERGE_SHOWN},
    ),
    (
        "GET", f"{PERSON}/consent", None,
        "GetConsent", pb.GetConsentRequest(person_id=ADA), pb.GetConsentResponse(consent=CONSENT),
        200, {"purposes": {"messages": "denied"}, "version": 2},
    ),
    (
        "PATCH", f"{PERSON}/consent", {"purposes": {"Messages": "denied"}, "source": "settings"},
        "SetConsent",
        pb.SetConsentRequest(
            person_id=ADA, purposes={"messages": person_pb2.CONSENT_STATE_DENIED},
            source="settings",
        ),
        pb.SetConsentResponse(consent=CONSENT),
        200, {"purposes": {"messages": "denied"}, "version": 2},
    ),
    (
        "GET", f"{PERSON}/consent/history?purpose=messages&page_size=1&page_token=t", None,
        "ListConsentHistory",
        pb.ListConsentHistoryRequest(
            person_id=ADA, purpose="messages", page_size=1, page_token="t"
        ),
        pb.ListConsentHistoryResponse(
            changes=[
                pb.ConsentChange(
                    person_id=GRACE, version=1, purpose="messages", source="import",
                    state=person_pb2.CONSENT_STATE_GRANTED, changed_at=NOON,
                )
            ]
        ),
        200,
        {
            "changes": [
                {
                    "person_id": GRACE, "version": 1, "purpose": "messages", "state": "granted",
                    "source": "import", "changed_at": AT_NOON,
                }
            ],
            "next_page_token": None,
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=name_of)
async def test_a_route_asks_its_service_and_shows_what_that_answers(
    scripted: Scripted, gateway: httpx.AsyncClient, case: Case
):
    await check(scripted.identity, gateway, case)


@pytest.mark.parametrize(
    ("path", "body", "rpc"),
    [
        ("/v1/persons", {}, "CreatePerson"),
        ("/v1/groups", {"kind": "couple"}, "CreateGroup"),
        ("/v1/sessions", {}, "CreateSession"),
    ],
)
async def test_a_key_names_what_is_created(
    scripted: Scripted, gateway: httpx.AsyncClient, path: str, body: Any, rpc: str
):
    key = "3f0c5a52-5b0e-5d6a-8a3e-0d6a4f1b2c3d"
    response = {
        "CreatePerson": pb.CreatePersonResponse(person=A_PERSON),
        "CreateGroup": pb.CreateGroupResponse(group=A_GROUP),
        "CreateSession": pb.CreateSessionResponse(session=A_SESSION),
    }[rpc]
    scripted.identity.answer(rpc, response)

    for headers in ({"idempotency-key": key}, {"idempotency-key": key}, {}, {}):
        assert (await gateway.post(path, json=body, headers=headers)).is_success

    asked = scripted.identity.asked[rpc]
    chosen = [
        getattr(request, "person_id", "") or getattr(request, "session_id", "")
        or request.group.group_id
        for request in asked
    ]  # fmt: skip
    assert chosen[0] == chosen[1] == ids.named("local", path, key)
    assert len(set(chosen)) == 3 and all(ids.is_uuid(each) for each in chosen)


@pytest.mark.parametrize(
    ("path", "rpc"),
    [
        (PERSON, "UpdatePerson"),
        (f"/v1/groups/{GROUP}", "UpdateGroup"),
        (f"/v1/sessions/{SESSION}", "UpdateSession"),
    ],
)
async def test_a_change_under_a_condition_that_fails(
    scripted: Scripted, gateway: httpx.AsyncClient, path: str, rpc: str
):
    class Changed(errors.Conflict):
        reason = "ETAG_MISMATCH"

    scripted.identity.answer(rpc, Changed("it has changed"))
    patch = {"metadata": {}} if rpc != "UpdateSession" else {"data": {}}

    by_header = await gateway.patch(path, json=patch, headers={"if-match": '"e0"'})
    by_body = await gateway.patch(path, json={**patch, "etag": "e0"})

    assert (by_header.status_code, by_body.status_code) == (412, 409)
    assert [request.etag for request in scripted.identity.asked[rpc]] == ["e0", "e0"]


async def test_a_merge_is_undone_by_its_own_id(scripted: Scripted, gateway: httpx.AsyncClient):
    undone = pb.UnmergePersonsResponse(merge=A_MERGE, source=A_PERSON, target=A_PERSON)
    scripted.identity.answer("GetPerson", pb.GetPersonResponse(person=A_PERSON))
    scripted.identity.answer("UnmergePersons", undone)

    by_source = await gateway.post(f"{PERSON}/unmerge", json={"source_person_id": GRACE})
    by_merge = await gateway.post(f"{PERSON}/unmerge", json={"merge_id": MERGE})

    for answer in (by_source, by_merge):
        assert answer.status_code == 200
        assert answer.json() == {
            "merge": MERGE_SHOWN, "source": PERSON_SHOWN, "target": PERSON_SHOWN
        }  # fmt: skip
    assert (
        scripted.identity.asked["UnmergePersons"] == [pb.UnmergePersonsRequest(merge_id=MERGE)] * 2
    )


async def test_a_merge_of_somebody_else_is_not_undone(
    scripted: Scripted, gateway: httpx.AsyncClient
):
    scripted.identity.answer("GetPerson", pb.GetPersonResponse(person=A_PERSON))
    other = ids.new()

    by_source = await gateway.post(f"{PERSON}/unmerge", json={"source_person_id": other})
    by_merge = await gateway.post(f"{PERSON}/unmerge", json={"merge_id": other})

    assert (by_source.status_code, problem(by_source)["reason"]) == (409, "NOT_MERGED")
    assert (by_merge.status_code, problem(by_merge)["reason"]) == (404, "MERGE_NOT_FOUND")
    assert "UnmergePersons" not in scripted.identity.asked


@pytest.mark.parametrize(
    ("path", "body", "rpc", "named", "field"),
    [
        (f"{PERSON}/merge", {"source_person_id": GRACE}, "MergePersons", "target_person_id",
         "person_id"),
        (f"{PERSON}/merge", {"source_person_id": GRACE}, "MergePersons", "source_person_id",
         "source_person_id"),
        ("/v1/groups", {"kind": "x"}, "CreateGroup", "group.metadata.a", "metadata.a"),
    ],
)  # fmt: skip
async def test_the_fields_of_the_service_are_called_as_the_client_calls_them(
    scripted: Scripted, gateway: httpx.AsyncClient, path: str, body: Any, rpc: str,
    named: str, field: str,
):  # fmt: skip
    scripted.identity.answer(rpc, errors.InvalidRequest(named, "is bad"))

    assert fields(await gateway.post(path, json=body)) == [field]


async def test_too_many_verifications_say_when_to_try_again(
    scripted: Scripted, gateway: httpx.AsyncClient
):
    class Throttled(errors.ResourceExhausted):
        reason = "VERIFICATION_THROTTLED"

    scripted.identity.answer("StartLinkVerification", Throttled("too often", retry_after=40))

    answer = await gateway.post(
        f"{PERSON}/links/verifications", json={"platform": "x", "platform_id": "1"}
    )

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "40")
    assert problem(answer)["reason"] == "VERIFICATION_THROTTLED"
