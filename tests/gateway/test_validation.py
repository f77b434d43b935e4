"""Everything that is malformed is a 400 that names the spot; no service is asked.

The gateway here has no services at all, so whatever were to pass would be a 503.
"""

from typing import Any

import httpx
import pytest

from gateway.values import TEXT_BYTES
from tests.support.lonely import lonely
from tests.support.messages import a_message, fields, problem

PERSON = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f30"


__all__ = ["lonely"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
        ("/v1/search", {"query": "q", "filter": []}, "filter"),
        ("/v1/search", {"query": "q", "filter": {"n": {"$gt": 2**60}}}, "filter.n.$gt"),
        ("/v1/search", {"query": "q", "filter": {"n": "x" * (16 << 10)}}, "filter"),
        ("/v1/search", {"query": "q", "filter": {"n": 2**60}}, "filter.n"),
        ("/v1/search", {"query": "q", "at_least": 5}, "at_least"),
        (f"/v1/persons/{PERSON}/links", {"platform": "x", "platform_id": ""}, "platform_id"),
        ("/v1/persons/ada/links", {"platform": "x", "platform_id": "1"}, "person_id"),
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
