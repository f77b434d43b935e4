"""Everything that is malformed is a 400 that names the spot; no service is asked.

The gateway here has no services at all, so whatever were to pass would be a 503.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.app import open_gateway
from gateway.settings import Settings
from gateway.values import TEXT_BYTES
from tests.support.messages import a_message, fields, problem
from tests.support.stack import client_of

NOBODY = "127.0.0.1:1"
PERSON = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f30"
EVENT = {"event_type": "a", "platform": "x"}
PROJECTION = {"name": "mood", "event_types": ["a"], "value_path": ["n"]}


@pytest.fixture
async def lonely() -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        identity_address=NOBODY, event_address=NOBODY, knowledge_address=NOBODY, catch_up=False
    )
    async with open_gateway(settings) as gateway, client_of(gateway) as client:
        yield client


async def post(client: httpx.AsyncClient, path: str, content: bytes) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return await client.post(path, content=content, headers=headers)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b'{"text": "\xff"}', "body"),
        (b"\xef\xbb\xbf{}", "body"),
        (b"[" * 5000, "body"),
        (b'{"text": "\\ud800"}', "text"),
        (b'{"metadata": {"a": [1, NaN]}}', "metadata.a[1]"),
        (b'{"metadata": {"a": 1e999}}', "metadata.a"),
        (b'{"metadata": {"a": {"b": "\\udfff"}}}', "metadata.a.b"),
        (b"[]", "body"),
        (b"null", "body"),
        (b'"text"', "body"),
    ],
)
async def test_what_is_no_json_for_us(lonely: httpx.AsyncClient, content: bytes, field: str):
    answer = await post(lonely, "/v1/messages", content)

    assert fields(answer) == [field]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"platform": None}, "platform"),
        ({"platform": 5}, "platform"),
        ({"platform": ""}, "platform"),
        ({"platform": "no spaces"}, "platform"),
        ({"platform": "p" * 65}, "platform"),
        ({"sender_id": ""}, "sender_id"),
        ({"sender_id": "  "}, "sender_id"),
        ({"sender_id": 42}, "sender_id"),
        ({"sender_id": "s" * 257}, "sender_id"),
        ({"sender_id": "a\0b"}, "sender_id"),
        ({"text": ""}, "text"),
        ({"text": "a\0b"}, "text"),
        ({"text": ["a"]}, "text"),
        ({"text": "x" * (TEXT_BYTES + 1)}, "text"),
        ({"text": "é" * (TEXT_BYTES // 2 + 1)}, "text"),
        ({"role": "system"}, "role"),
        ({"role": "assistant"}, "to_sender_id"),
        ({"to_sender_id": "bot"}, "to_sender_id"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2026-03-01T09:30:00"}, "timestamp"),
        ({"timestamp": "2026-02-30T09:30:00Z"}, "timestamp"),
        ({"timestamp": "1969-12-31T23:59:59Z"}, "timestamp"),
        ({"timestamp": "9999-12-31T23:59:59-23:00"}, "timestamp"),
        ({"timestamp": 1772357400}, "timestamp"),
        ({"message_id": ""}, "message_id"),
        ({"session_id": "s" * 257}, "session_id"),
        ({"group_id": "not-a-uuid"}, "group_id"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"kith": {}}}, "metadata.kith"),
        ({"metadata": {"n": 2**53 + 1}}, "metadata.n"),
        ({"metadata": {"n": [{"m": -(2**60)}]}}, "metadata.n[0].m"),
        ({"metadata": {"n": 2**70}}, "metadata.n"),
        ({"metadata": {"a": "b\0"}}, "metadata.a"),
        ({"metadata": {"a": "x" * (16 << 10)}}, "metadata"),
        ({"store_as_knowledge": "yes"}, "store_as_knowledge"),
        ({"unknown": 1}, "unknown"),
    ],
)
async def test_a_malformed_message(lonely: httpx.AsyncClient, changes: dict[str, Any], field: str):
    answer = await lonely.post("/v1/messages", json=a_message(**changes))

    assert fields(answer) == [field]


async def test_metadata_may_be_deep_but_not_bottomless(lonely: httpx.AsyncClient):
    deep: Any = 1
    for _ in range(40):
        deep = [deep]

    answer = await lonely.post("/v1/messages", json=a_message(metadata={"a": deep}))

    [field] = fields(answer)
    assert field.startswith("metadata.a[0][0]")


async def test_every_bad_field_is_named(lonely: httpx.AsyncClient):
    answer = await lonely.post("/v1/messages", json={"platform": "", "txt": "hello"})

    assert fields(answer) == ["platform", "sender_id", "text", "txt"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/register", {"platform": "x"}, "platform_id"),
        ("/v1/register", {"platform": "x", "platform_id": "1", "consent": []}, "consent"),
        (
            "/v1/register",
            {"platform": "x", "platform_id": "1", "consent": {"messages": "maybe"}},
            "consent.messages",
        ),
        ("/v1/search", {}, "query"),
        ("/v1/search", {"query": " "}, "query"),
        ("/v1/search", {"query": "q" * 8193}, "query"),
        ("/v1/search", {"query": "q", "mode": "psychic"}, "mode"),
        ("/v1/search", {"query": "q", "person_id": "ada"}, "person_id"),
        ("/v1/search", {"query": "q", "session_id": "channel"}, "platform"),
        ("/v1/search", {"query": "q", "limit": 0}, "limit"),
        ("/v1/search", {"query": "q", "limit": "5"}, "limit"),
        ("/v1/search", {"query": "q", "from": "then"}, "from"),
        ("/v1/search", {"query": "q", "namespaces": ["a", ""]}, "namespaces[1]"),
        ("/v1/search", {"query": "q", "filter": {"n": {"$gt": 3}}}, "filter.n.$gt"),
        ("/v1/search", {"query": "q", "filter": {"$or": []}}, "filter.$or"),
        ("/v1/search", {"query": "q", "filter": {"n": 2**60}}, "filter.n"),
        ("/v1/search", {"query": "q", "at_least": 5}, "at_least"),
        (f"/v1/persons/{PERSON}/links", {"platform": "x", "platform_id": ""}, "platform_id"),
        ("/v1/persons/ada/links", {"platform": "x", "platform_id": "1"}, "person_id"),
        (
            f"/v1/persons/{PERSON}/links",
            {"platform": "x", "platform_id": "1", "verification_method": "oauth"},
            "verification_method",
        ),
        ("/v1/persons", {"person_id": "ada"}, "person_id"),
        ("/v1/persons", {"metadata": {"n": 2**60}}, "metadata.n"),
        ("/v1/persons", {"consent": {"a b": "granted"}}, "consent.a b.[key]"),
        ("/v1/persons", {"consent": {f"p{n}": "granted" for n in range(65)}}, "consent"),
        ("/v1/persons/ada/links/verifications", {"platform": "x", "platform_id": "1"}, "person_id"),
        (f"/v1/persons/{PERSON}/links/verifications", {"platform": "x"}, "platform_id"),
        (f"/v1/links/verifications/{PERSON}/confirm", {}, "code"),
        (f"/v1/links/verifications/{PERSON}/confirm", {"code": "c" * 65}, "code"),
        ("/v1/links/verifications/1/confirm", {"code": "c"}, "verification_id"),
        (f"/v1/persons/{PERSON}/merge", {}, "source_person_id"),
        (f"/v1/persons/{PERSON}/merge", {"source_person_id": "grace"}, "source_person_id"),
        (
            f"/v1/persons/{PERSON}/merge",
            {"source_person_id": PERSON, "reason": "r" * 257},
            "reason",
        ),
        (f"/v1/persons/{PERSON}/unmerge", {}, "source_person_id"),
        (
            f"/v1/persons/{PERSON}/unmerge",
            {"source_person_id": PERSON, "merge_id": PERSON},
            "source_person_id",
        ),
        (f"/v1/persons/{PERSON}/unmerge", {"merge_id": "1"}, "merge_id"),
        ("/v1/groups", {}, "kind"),
        ("/v1/groups", {"kind": "a b"}, "kind"),
        ("/v1/groups", {"kind": "x", "name": "n" * 257}, "name"),
        ("/v1/groups", {"kind": "x", "group_id": "1"}, "group_id"),
        ("/v1/groups", {"kind": "x", "metadata": {"a": "\0"}}, "metadata.a"),
        ("/v1/groups", {"kind": "x", "person_ids": [PERSON, "1"]}, "person_ids[1]"),
        ("/v1/groups", {"kind": "x", "person_ids": [PERSON] * 1001}, "person_ids"),
        ("/v1/sessions", {"session_id": "1"}, "session_id"),
        ("/v1/sessions", {"data": []}, "data"),
        ("/v1/sessions", {"data": {"a": "x" * (16 << 10)}}, "data"),
        ("/v1/sessions", {"ttl_seconds": 59}, "ttl_seconds"),
        ("/v1/sessions", {"ttl_seconds": 30 * 86_400 + 1}, "ttl_seconds"),
        (f"/v1/sessions/{PERSON}/claim", {}, "person_id"),
        ("/v1/sessions/1/claim", {"person_id": PERSON}, "session_id"),
        ("/v1/events", {"platform": "x"}, "event_type"),
        ("/v1/events", {"event_type": "a", "platform": ""}, "platform"),
        ("/v1/events", {**EVENT, "event_id": "1"}, "event_id"),
        ("/v1/events", {**EVENT, "link_id": "1"}, "link_id"),
        ("/v1/events", {**EVENT, "group_id": "1"}, "group_id"),
        ("/v1/events", {**EVENT, "session_id": ""}, "session_id"),
        ("/v1/events", {**EVENT, "platform_id": "1", "person_id": PERSON}, "platform_id"),
        ("/v1/events", {**EVENT, "content": {"n": 2**60}}, "content.n"),
        ("/v1/events", {**EVENT, "content": {"a": "x" * (256 << 10)}}, "content"),
        ("/v1/events", {**EVENT, "metadata": {"kith": 1}}, "metadata.kith"),
        ("/v1/events", {**EVENT, "occurred_at": "noon"}, "occurred_at"),
        ("/v1/events", {**EVENT, "consent_version": 1}, "consent_version"),
        ("/v1/events:batch", [EVENT, {**EVENT, "person_id": "1"}], "[1].person_id"),
        ("/v1/events:batch", [], "body"),
        ("/v1/events:batch", [EVENT] * 1001, "body"),
        ("/v1/events:batch", EVENT, "body"),
        ("/v1/events:redact", {"event_ids": [], "reason": "r"}, "event_ids"),
        ("/v1/events:redact", {"event_ids": [PERSON, "1"], "reason": "r"}, "event_ids[1]"),
        ("/v1/events:redact", {"event_ids": [PERSON] * 1001, "reason": "r"}, "event_ids"),
        ("/v1/events:redact", {"event_ids": [PERSON]}, "reason"),
        ("/v1/events:redact", {"event_ids": [PERSON], "reason": ""}, "reason"),
        ("/v1/events:redact", {"event_ids": [PERSON], "reason": "r" * 257}, "reason"),
        ("/v1/projections", {**PROJECTION, "name": "a b"}, "name"),
        ("/v1/projections", {**PROJECTION, "event_types": []}, "event_types"),
        ("/v1/projections", {**PROJECTION, "event_types": ["a"] * 33}, "event_types"),
        ("/v1/projections", {**PROJECTION, "value_path": []}, "value_path"),
        ("/v1/projections", {**PROJECTION, "value_path": ["a", ""]}, "value_path[1]"),
        ("/v1/projections", {**PROJECTION, "key_path": ["a"] * 9}, "key_path"),
    ],
)
async def test_other_malformed_bodies(lonely: httpx.AsyncClient, path: str, body: Any, field: str):
    answer = await lonely.post(path, json=body)

    assert fields(answer) == [field]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/resolve?platform=x", "platform_id"),
        ("/v1/resolve?platform=x&platform_id=1&plat=y", "plat"),
        ("/v1/persons/ada", "person_id"),
        ("/v1/persons/ada/timeline", "person_id"),
        (f"/v1/persons/{PERSON}/timeline?page_size=-1", "page_size"),
        (f"/v1/persons/{PERSON}/timeline?page_size=many", "page_size"),
        (f"/v1/persons/{PERSON}/timeline?order=up", "order"),
        (f"/v1/persons/{PERSON}/timeline?event_type=a%20b", "event_type[0]"),
        (f"/v1/persons/{PERSON}/timeline?from=2026", "from"),
        (f"/v1/persons/{PERSON}/timeline?session_id=channel", "platform"),
        (f"/v1/persons/{PERSON}/timeline?evnt_type=message", "evnt_type"),
        (f"/v1/persons/{PERSON}/links?page_size=-1", "page_size"),
        ("/v1/persons?platform=a%20b", "platform"),
        ("/v1/persons?metadata=5", "metadata"),
        ("/v1/persons?metadata=%7B", "metadata"),
        ("/v1/persons?metadata=%7B%22n%22%3A1e17%7D", "metadata.n"),
        ("/v1/persons?seen_from=today", "seen_from"),
        ("/v1/persons?seen_to=today", "seen_to"),
        ("/v1/persons/ada/consent", "person_id"),
        (f"/v1/persons/{PERSON}/consent/history?purpose=a%20b", "purpose"),
        ("/v1/groups?person_id=ada", "person_id"),
        ("/v1/groups?kind=a%20b", "kind"),
        ("/v1/groups/1", "group_id"),
        ("/v1/groups/1/members", "group_id"),
        ("/v1/persons/ada/groups", "person_id"),
        ("/v1/sessions/1", "session_id"),
        ("/v1/events/1", "event_id"),
        ("/v1/events?person_id=ada", "person_id"),
        ("/v1/events?group_id=1", "group_id"),
        ("/v1/events?session_id=channel", "platform"),
        ("/v1/events?after=-1", "after"),
        ("/v1/events?after=9223372036854775808", "after"),
        ("/v1/events?after=1&wait=31", "wait"),
        ("/v1/events?after=1&wait=-1", "wait"),
        ("/v1/events?wait=1", "wait"),
        ("/v1/events?after=1&wait=1&order=desc", "wait"),
        ("/v1/events?after=1&wait=1&page_token=t", "wait"),
        ("/v1/events?" + "&".join(["event_type=a"] * 33), "event_type"),
        ("/v1/events?" + "&".join(["platform=a"] * 33), "platform"),
        ("/v1/events/stats?bucket=year", "bucket"),
        ("/v1/events/stats?from=x", "from"),
        ("/v1/events/stats?by=color", "by[0]"),
        (f"/v1/events/search?person_id={PERSON}", "query"),
        (f"/v1/events/search?person_id={PERSON}&query=%20", "query"),
        (f"/v1/events/search?person_id={PERSON}&query={'q' * 513}", "query"),
        (f"/v1/events/search?person_id={PERSON}&query=q&mode=fuzzy", "mode"),
        ("/v1/events/search?query=q", "person_id"),
        ("/v1/events/search?query=q&from=2026-01-01T00:00:00Z", "person_id"),
        (
            "/v1/events/search?query=q&from=2026-01-01T00:00:00Z&to=2026-02-02T00:00:00Z",
            "to",
        ),
        ("/v1/projections/a%20b", "name"),
        (f"/v1/persons/{PERSON}/projections/a%20b", "name"),
        (f"/v1/persons/{PERSON}/projections/mood?key={'k' * 257}", "key"),
    ],
)
async def test_malformed_queries(lonely: httpx.AsyncClient, path: str, field: str):
    answer = await lonely.get(path)

    assert fields(answer) == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"metadata": None}, "metadata"),
        ({"metadata": {"a": "\0"}}, "metadata.a"),
        ({}, "metadata"),
        ({"metadata": {}, "name": "Ada"}, "name"),
    ],
)
async def test_malformed_patches(lonely: httpx.AsyncClient, body: dict[str, Any], field: str):
    answer = await lonely.patch(f"/v1/persons/{PERSON}", json=body)

    assert fields(answer) == [field]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (f"/v1/persons/{PERSON}/consent", {}, "purposes"),
        (f"/v1/persons/{PERSON}/consent", {"purposes": {}}, "purposes"),
        (f"/v1/persons/{PERSON}/consent", {"purposes": {"a": "yes"}}, "purposes.a"),
        (
            f"/v1/persons/{PERSON}/consent",
            {"purposes": {"a": "granted"}, "source": "s" * 257},
            "source",
        ),
        (f"/v1/groups/{PERSON}", {}, "metadata"),
        (f"/v1/groups/{PERSON}", {"name": "n" * 257}, "name"),
        (f"/v1/groups/{PERSON}", {"metadata": {}, "kind": "x"}, "kind"),
        ("/v1/groups/1", {"name": ""}, "group_id"),
        (f"/v1/sessions/{PERSON}", {}, "data"),
        (f"/v1/sessions/{PERSON}", {"ttl_seconds": 1}, "ttl_seconds"),
        (f"/v1/sessions/{PERSON}", {"data": {"a": "\0"}}, "data.a"),
    ],
)
async def test_other_malformed_patches(
    lonely: httpx.AsyncClient, path: str, body: dict[str, Any], field: str
):
    assert fields(await lonely.patch(path, json=body)) == [field]


async def test_other_malformed_requests(lonely: httpx.AsyncClient):
    member = f"/v1/groups/{PERSON}/members"

    assert fields(await lonely.put(f"{member}/ada", json={})) == ["person_id"]
    assert fields(await lonely.put(f"{member}/{PERSON}", json={"role": "a b"})) == ["role"]
    assert fields(await lonely.delete(f"{member}/ada")) == ["person_id"]
    assert fields(await lonely.delete(f"/v1/persons/{PERSON}/links/1")) == ["link_id"]
    assert fields(await lonely.delete("/v1/projections/a%20b")) == ["name"]


async def test_a_key_that_names_a_session_must_be_hard_to_guess(lonely: httpx.AsyncClient):
    answer = await lonely.post("/v1/sessions", json={}, headers={"idempotency-key": "k" * 31})

    assert fields(answer) == ["Idempotency-Key"]


async def test_an_idempotency_key_has_a_bound(lonely: httpx.AsyncClient):
    answer = await lonely.post(
        "/v1/messages", json=a_message(), headers={"idempotency-key": "k" * 256}
    )

    assert fields(answer) == ["Idempotency-Key"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_body_that_is_not_said_to_be_json_is_refused(
    lonely: httpx.AsyncClient, content_type: str | None
):
    headers = {"content-type": content_type} if content_type else {}
    for path in ("/v1/messages", "/v1/messages:batch"):
        answer = await lonely.post(path, content=b"{}", headers=headers)

        assert problem(answer)["reason"] == "UNSUPPORTED_MEDIA_TYPE"
        assert answer.status_code == 415


async def test_paths_and_methods_that_are_not_there(lonely: httpx.AsyncClient):
    missing = await lonely.get("/v1/nothing")
    wrong = await lonely.delete("/v1/messages")

    assert problem(missing)["reason"] == "ROUTE_NOT_FOUND"
    assert missing.status_code == 404
    assert problem(wrong)["reason"] == "METHOD_NOT_ALLOWED"
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "values",
    [[], [a_message()] * 1001, {"platform": "x"}, "x"],
    ids=["0", "1001", "object", "text"],
)
async def test_a_batch_has_1_to_1000_messages(lonely: httpx.AsyncClient, values: Any):
    answer = await lonely.post("/v1/messages:batch", json=values)

    assert fields(answer) == ["body"]


async def test_a_malformed_message_of_a_batch_is_named_by_its_place(lonely: httpx.AsyncClient):
    batch = [a_message() for _ in range(20)]
    del batch[17]["platform"]
    batch[18]["metadata"] = {"a": [0, 2**60]}

    answer = await lonely.post("/v1/messages:batch", json=batch)

    assert fields(answer) == ["[17].platform", "[18].metadata.a[1]"]


async def test_a_batch_that_is_wrong_everywhere_does_not_list_everything(lonely: httpx.AsyncClient):
    answer = await lonely.post("/v1/messages:batch", json=[{}] * 1000)

    assert len(fields(answer)) == 20
    assert "and 2997 more" in problem(answer)["detail"]
