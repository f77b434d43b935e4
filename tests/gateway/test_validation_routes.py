"""Everything that is malformed is a 400 that names the spot, on each route of people and events.

The gateway here has no services at all, so whatever were to pass would be a 503.
"""

from typing import Any

import httpx
import pytest

from tests.support.lonely import lonely
from tests.support.messages import fields

PERSON = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f30"
EVENT = {"event_type": "a", "platform": "x"}
PROJECTION = {"name": "mood", "event_types": ["a"], "value_path": ["n"]}


__all__ = ["lonely"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
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
async def test_malformed_bodies(lonely: httpx.AsyncClient, path: str, body: Any, field: str):
    assert fields(await lonely.post(path, json=body)) == [field]


@pytest.mark.parametrize(
    ("path", "field"),
    [
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
    assert fields(await lonely.get(path)) == [field]


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
async def test_malformed_patches(
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
