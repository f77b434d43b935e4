"""What callers get wrong is INVALID_ARGUMENT and names the field, in every RPC."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2

from identity_svc.__main__ import assemble
from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import person_pb2
from svckit import pages
from tests.support.cluster import Database
from tests.support.identity import GRANTED, Stub, a_request, a_struct, identity_service
from tests.support.refusals import Refusal, refusal_of
from tests.support.services import channel_to, running

SOMEBODY = "01a1fc5d-aad2-70f0-86e8-84cd58513b15"
NESTED: dict[str, Any] = {}
for _ in range(32):
    NESTED = {"a": NESTED}

BAD_ACCOUNTS = [
    ({"platform": ""}, "platform"),
    ({"platform": "two words"}, "platform"),
    ({"platform": "x" * 65}, "platform"),
    ({"platform": "dis\0cord"}, "platform"),
    ({"platform": "ディスコード"}, "platform"),
    ({"platform_id": ""}, "platform_id"),
    ({"platform_id": " \n "}, "platform_id"),
    ({"platform": "telegram", "platform_id": "@"}, "platform_id"),
    ({"platform_id": "x" * 257}, "platform_id"),
    ({"platform_id": " " * 1_000_000 + "x"}, "platform_id"),
    ({"platform_id": "\u0958" * 200}, "platform_id"),  # twice as long when composed
    ({"platform_id": "a\0b"}, "platform_id"),
    ({"platform_id": "a\tb"}, "platform_id"),
    ({"platform_id": "a\x7fb"}, "platform_id"),
    ({"platform_id": "a\x85b"}, "platform_id"),
]
BAD_METADATA = [
    ({"a": "x" * 20_000}, "metadata"),
    ({"x" * 20_000: 1}, "metadata"),
    ({"a": {"b": [1, "x\0"]}}, "metadata.a.b[1]"),
    ({"a\0": 1}, "metadata"),
    ({"a": 2.0**53 + 2}, "metadata.a"),
    ({"a": [-(2.0**60)]}, "metadata.a[0]"),
    ({"a": 1e308}, "metadata.a"),
    ({"a": float("nan")}, "metadata.a"),
    ({"a": float("-inf")}, "metadata.a"),
    ({"x" * 20_000: float("nan")}, "metadata." + "x" * 190 + "…"),
    (NESTED, "metadata" + ".a" * 32),
]
BAD_CONSENT = [
    ({"": GRANTED}, "consent.purposes"),
    ({"Messages": GRANTED}, "consent.purposes"),
    ({"two words": GRANTED}, "consent.purposes"),
    ({"x" * 65: GRANTED}, "consent.purposes"),
    ({"x" * 100_000: GRANTED}, "consent.purposes"),
    ({"a\0": GRANTED}, "consent.purposes"),
    ({"messages": 7}, "consent.purposes.messages"),
    ({f"purpose-{n}": GRANTED for n in range(65)}, "consent.purposes"),
]
BAD_UUIDS = ["", "nonsense", "0" * 36, SOMEBODY[:-1], "{" + SOMEBODY[1:-1] + "}", SOMEBODY + "\n"]


@pytest.fixture
async def identity(database: Database) -> AsyncIterator[Stub]:
    async with identity_service(database) as stub:
        yield stub


def assert_names(refusal: Refusal, field: str) -> None:
    assert refusal.domain == "identity.kith"
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT, refusal
    assert refusal.reason == "INVALID_ARGUMENT"
    assert list(refusal.fields) == [field]
    assert len(refusal.message) < 500


def an_account_request(kind: Any, changes: dict[str, str], **more: str) -> Any:
    return kind(**{"platform": "discord", "platform_id": "mia", **more, **changes})


async def test_accounts_are_checked_by_every_rpc_that_takes_one(identity):
    for changes, field in BAD_ACCOUNTS:
        for call in (
            identity.RegisterPerson(an_account_request(pb.RegisterPersonRequest, changes)),
            identity.ResolveIdentity(an_account_request(pb.ResolveIdentityRequest, changes)),
            identity.LinkIdentity(
                an_account_request(pb.LinkIdentityRequest, changes, person_id=SOMEBODY)
            ),
        ):
            assert_names(await refusal_of(call), field)


async def test_accounts_in_batches_are_refused_alone(identity):
    questions = [
        *(an_account_request(pb.ResolveIdentityRequest, changes) for changes, _ in BAD_ACCOUNTS),
        an_account_request(pb.ResolveIdentityRequest, {}),
    ]

    results = (
        await identity.BatchResolveIdentities(pb.BatchResolveIdentitiesRequest(requests=questions))
    ).results

    refusals = [Refusal.of(result.error) for result in results]
    for refusal, (_, field) in zip(refusals[:-1], BAD_ACCOUNTS, strict=True):
        assert_names(refusal, field)
    assert refusals[-1].reason == "LINK_NOT_FOUND"


async def test_registrations_in_a_batch_are_refused_alone(identity):
    bad = [
        *((a_request(metadata=metadata), field) for metadata, field in BAD_METADATA),
        *((a_request(consent=consent), field) for consent, field in BAD_CONSENT),
    ]

    results = (
        await identity.BatchRegisterPersons(
            pb.BatchRegisterPersonsRequest(requests=[*(request for request, _ in bad), a_request()])
        )
    ).results

    for result, (_, field) in zip(results[:-1], bad, strict=True):
        assert_names(Refusal.of(result.error), field)
    assert results[-1].response.created


@pytest.mark.parametrize(("metadata", "field"), BAD_METADATA)
async def test_metadata_is_checked_at_registration_and_update(identity, metadata, field):
    calls = (
        identity.RegisterPerson(a_request(metadata=metadata)),
        identity.UpdatePerson(
            pb.UpdatePersonRequest(person_id=SOMEBODY, metadata=a_struct(metadata))
        ),
        identity.CreatePerson(pb.CreatePersonRequest(metadata=a_struct(metadata))),
        identity.ListPersons(pb.ListPersonsRequest(metadata=a_struct(metadata))),
    )

    for call in calls:
        assert_names(await refusal_of(call), field)


@pytest.mark.parametrize(("consent", "field"), BAD_CONSENT)
async def test_consent_is_checked_wherever_it_is_given(identity, consent, field):
    message = person_pb2.Consent(purposes=consent)
    calls = (
        (identity.RegisterPerson(a_request(consent=consent)), field),
        (identity.CreatePerson(pb.CreatePersonRequest(consent=message)), field),
        (
            identity.SetConsent(pb.SetConsentRequest(person_id=SOMEBODY, purposes=consent)),
            field.removeprefix("consent."),
        ),
    )

    for call, named in calls:
        assert_names(await refusal_of(call), named)


@pytest.mark.parametrize("bad", BAD_UUIDS)
async def test_ids_of_people_and_links_are_uuids(identity, bad):
    calls = (
        (identity.GetPerson(pb.GetPersonRequest(person_id=bad)), "person_id"),
        (identity.UpdatePerson(pb.UpdatePersonRequest(person_id=bad)), "person_id"),
        (identity.ListLinks(pb.ListLinksRequest(person_id=bad)), "person_id"),
        (identity.GetConsent(pb.GetConsentRequest(person_id=bad)), "person_id"),
        (identity.SetConsent(pb.SetConsentRequest(person_id=bad)), "person_id"),
        (
            identity.ListConsentHistory(pb.ListConsentHistoryRequest(person_id=bad)),
            "person_id",
        ),
        (
            identity.UnlinkIdentity(pb.UnlinkIdentityRequest(person_id=bad, link_id=SOMEBODY)),
            "person_id",
        ),
        (
            identity.UnlinkIdentity(pb.UnlinkIdentityRequest(person_id=SOMEBODY, link_id=bad)),
            "link_id",
        ),
        (
            identity.MergePersons(
                pb.MergePersonsRequest(source_person_id=bad, target_person_id=SOMEBODY)
            ),
            "source_person_id",
        ),
        (
            identity.MergePersons(
                pb.MergePersonsRequest(source_person_id=SOMEBODY, target_person_id=bad)
            ),
            "target_person_id",
        ),
        (
            identity.LinkIdentity(an_account_request(pb.LinkIdentityRequest, {}, person_id=bad)),
            "person_id",
        ),
        (
            identity.BatchGetPersons(pb.BatchGetPersonsRequest(person_ids=[SOMEBODY, bad])),
            "person_ids[1]",
        ),
        (
            identity.ConfirmRegistrations(pb.ConfirmRegistrationsRequest(link_ids=[SOMEBODY, bad])),
            "link_ids[1]",
        ),
    )

    for call, field in calls:
        assert_names(await refusal_of(call), field)


@pytest.mark.parametrize("size", [0, 1001])
async def test_batches_have_one_to_a_thousand_entries(identity, size):
    calls = (
        (
            identity.BatchRegisterPersons(
                pb.BatchRegisterPersonsRequest(requests=[a_request()] * size)
            ),
            "requests",
        ),
        (
            identity.BatchResolveIdentities(
                pb.BatchResolveIdentitiesRequest(requests=[pb.ResolveIdentityRequest()] * size)
            ),
            "requests",
        ),
        (
            identity.BatchGetPersons(pb.BatchGetPersonsRequest(person_ids=[SOMEBODY] * size)),
            "person_ids",
        ),
        (
            identity.ConfirmRegistrations(
                pb.ConfirmRegistrationsRequest(link_ids=[SOMEBODY] * size)
            ),
            "link_ids",
        ),
    )

    for call, field in calls:
        assert_names(await refusal_of(call), field)


async def test_page_sizes_are_not_negative(identity):
    calls = (
        identity.ListLinks(pb.ListLinksRequest(person_id=SOMEBODY, page_size=-1)),
        identity.ListPendingRegistrations(pb.ListPendingRegistrationsRequest(page_size=-1)),
        identity.ListPersons(pb.ListPersonsRequest(page_size=-1)),
        identity.ListConsentHistory(pb.ListConsentHistoryRequest(person_id=SOMEBODY, page_size=-1)),
    )

    for call in calls:
        assert_names(await refusal_of(call), "page_size")


async def test_page_tokens_belong_to_their_query(identity):
    mia = (await identity.RegisterPerson(a_request())).identity
    max_ = (await identity.RegisterPerson(a_request())).identity
    await identity.LinkIdentity(
        an_account_request(pb.LinkIdentityRequest, {}, person_id=mia.person_id)
    )
    links = await identity.ListLinks(pb.ListLinksRequest(person_id=mia.person_id, page_size=1))
    pending = await identity.ListPendingRegistrations(
        pb.ListPendingRegistrationsRequest(page_size=1)
    )

    for request in (
        pb.ListLinksRequest(person_id=max_.person_id, page_token=links.next_page_token),
        pb.ListLinksRequest(person_id=mia.person_id, page_token=pending.next_page_token),
    ):
        assert_names(await refusal_of(identity.ListLinks(request)), "page_token")
    for request in (
        pb.ListPendingRegistrationsRequest(page_token=links.next_page_token),
        pb.ListPendingRegistrationsRequest(
            page_token=pending.next_page_token, created_before=timestamp_pb2.Timestamp(seconds=1)
        ),
    ):
        refusal = await refusal_of(identity.ListPendingRegistrations(request))
        assert_names(refusal, "page_token")


@pytest.mark.parametrize(
    "place",
    [
        None, 7, "text", {}, [], ["2026-01-01T00:00:00+00:00"], ["2026-01-01T00:00:00+00:00", 7],
        ["2026-01-01T00:00:00+00:00", "nonsense"], ["yesterday", SOMEBODY],
        ["2026-01-01T00:00:00", SOMEBODY],
    ],
)  # fmt: skip
async def test_a_forged_place_in_a_page_token_is_refused(identity, place):
    token = pages.token([place] if place is None else place, "links", SOMEBODY)

    refusal = await refusal_of(
        identity.ListLinks(pb.ListLinksRequest(person_id=SOMEBODY, page_token=token))
    )

    assert_names(refusal, "page_token")


@pytest.mark.parametrize("token", ["nonsense", "????", "é", "A" * 100_000, "bnVsbA"])
async def test_a_malformed_page_token_is_refused(identity, token):
    refusal = await refusal_of(
        identity.ListPendingRegistrations(pb.ListPendingRegistrationsRequest(page_token=token))
    )

    assert_names(refusal, "page_token")


@pytest.mark.parametrize(
    "moment", [{"seconds": -1}, {"seconds": 2**62}, {"nanos": -5}, {"nanos": 2_000_000_000}]
)
async def test_times_are_within_the_calendar(identity, moment):
    refusal = await refusal_of(
        identity.ListPendingRegistrations(
            pb.ListPendingRegistrationsRequest(created_before=timestamp_pb2.Timestamp(**moment))
        )
    )

    assert_names(refusal, "created_before")


@pytest.mark.parametrize("etag", ["x" * 65, "a\0b"])
async def test_an_etag_is_short_text(identity, etag):
    refusal = await refusal_of(
        identity.UpdatePerson(pb.UpdatePersonRequest(person_id=SOMEBODY, etag=etag))
    )

    assert_names(refusal, "etag")


@pytest.mark.parametrize("depth", [34, 5000])
async def test_metadata_nested_beyond_what_a_parser_takes_is_refused(database, depth):
    def field(number: int, content: bytes) -> bytes:
        length, size = b"", len(content)
        while size > 0x7F:
            length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    struct = b""
    for _ in range(depth):
        # Struct.fields: an entry of the key "a" and a Value that is a Struct.
        struct = field(1, field(1, b"a") + field(2, field(5, struct)))
    wire = field(1, b"discord") + field(2, b"mia") + field(3, struct)

    async with running(assemble, database, "identity") as address, channel_to(address) as channel:
        call = channel.unary_unary("/kith.identity.v1.IdentityService/RegisterPerson")
        refusal = await refusal_of(call(wire))

    assert_names(refusal, "metadata")
