"""Exports of people: what is in them, memory, and what becomes of those that are broken off."""

import asyncio
import hashlib
import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.channels import Answers
from svckit import ids
from tests.support.cluster import Database
from tests.support.keeping import a_document, a_file, a_memory, key_of
from tests.support.messages import a_message, sent
from tests.support.stack import Stack

Json = dict[str, Any]

ENTRIES = {
    "identity.json", "links.jsonl", "consent_history.jsonl", "groups.jsonl", "events.jsonl",
    "projections.jsonl", "knowledge.jsonl", "memories.jsonl", "documents.jsonl", "manifest.json",
}  # fmt: skip


def opened(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as read:
        assert read.testzip() is None
        return {name: read.read(name) for name in read.namelist()}


def lines(entry: bytes) -> list[Json]:
    return [orjson.loads(line) for line in entry.splitlines()]


async def exported(client: httpx.AsyncClient, person_id: str) -> dict[str, bytes]:
    answer = await client.get(f"/v1/persons/{person_id}/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    return opened(answer.content)


async def test_everything_that_is_held_is_in_it(gateway: httpx.AsyncClient, database: Database):
    await gateway.post("/v1/projections", json={
        "name": "moods", "event_types": ["mood"], "value_path": ["n"], "key_path": ["word"],
    })  # fmt: skip
    first = await sent(gateway, a_message(metadata={"mood": "calm"}))
    person = first["person_id"]
    other = await sent(gateway, a_message(sender_id="42", platform="telegram"))
    await sent(gateway, a_message(sender_id="ben", text="Not about her, but flower pots."))
    await gateway.post(f"/v1/persons/{person}/merge", json={"source_person_id": other["person_id"]})
    await gateway.patch(f"/v1/persons/{person}/consent", json={"purposes": {"ads": "denied"}})
    group = await gateway.post("/v1/groups", json={"kind": "home", "person_ids": [person]})
    await gateway.put(f"/v1/groups/{group.json()['group_id']}/members/{person}",
                      json={"role": "owner"})  # fmt: skip
    await gateway.post("/v1/events", json={
        "event_type": "mood", "platform": "discord", "platform_id": "ada",
        "content": {"n": 7, "word": "glad"},
    })  # fmt: skip
    memory = await a_memory(database, person, ids.new())
    document = await a_document(database, person, content=b"What was said.")

    answer = await gateway.get(f"/v1/persons/{other['person_id']}/export")
    entries = opened(answer.content)

    assert answer.headers["content-disposition"] == f'attachment; filename="kith-{person}.zip"'
    file = f"files/{document}/notes.txt"
    assert set(entries) == ENTRIES | {file}
    identity = orjson.loads(entries["identity.json"])
    assert identity["person_ids"] == [person, other["person_id"]]
    assert len(identity["merges"]) == 1
    assert {link["platform_id"] for link in lines(entries["links.jsonl"])} == {"ada", "42"}
    assert {change["purpose"] for change in lines(entries["consent_history.jsonl"])} == {"ads"}
    [membership] = lines(entries["groups.jsonl"])
    assert membership["kind"] == "home"
    assert membership["membership"]["role"] == "owner"
    events = lines(entries["events.jsonl"])
    assert [event["event_type"] for event in events].count("message") == 2
    assert {event["subject_id"] for event in events} <= set(identity["subject_ids"])
    [value] = lines(entries["projections.jsonl"])
    assert (value["projection"], value["key"], value["sum"]) == ("moods", "glad", 7)
    items = lines(entries["knowledge.jsonl"])
    assert {item["source_event_id"] for item in items} == {first["event_id"], other["event_id"]}
    assert {"mood": "calm"} in [item["metadata"] for item in items]
    assert [(each["memory_id"], each["version"]) for each in lines(entries["memories.jsonl"])] == [
        (memory, 1), (memory, 2),
    ]  # fmt: skip
    [said] = lines(entries["documents.jsonl"])
    assert (said["document_id"], said["file"]) == (document, file)
    assert entries[file] == b"What was said."


async def test_the_manifest_tells_what_there_is(gateway: httpx.AsyncClient, database: Database):
    person = (await sent(gateway, a_message()))["person_id"]
    lost = await a_document(database, person, with_file=False)
    empty = await a_document(database, person, content=b"", filename="../empty")

    entries = await exported(gateway, person)

    manifest = orjson.loads(entries["manifest.json"])
    assert (manifest["format"], manifest["version"]) == ("kith-export", 1)
    assert manifest["person_id"] == person
    assert manifest["missing_files"] == [lost]
    assert {entry["name"] for entry in manifest["entries"]} == set(entries) - {"manifest.json"}
    for entry in manifest["entries"]:
        content = entries[entry["name"]]
        assert entry["size"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        if entry["name"].endswith(".jsonl"):
            assert entry["records"] == len(lines(content))
    assert entries[f"files/{empty}/empty"] == b""


async def test_somebody_of_whom_nothing_is_known_can_be_exported(gateway: httpx.AsyncClient):
    person = (await gateway.post("/v1/persons", json={})).json()["person_id"]

    entries = await exported(gateway, person)

    assert set(entries) == ENTRIES
    assert entries["events.jsonl"] == b""


@pytest.mark.parametrize("away", ["identity", "event", "knowledge"])
async def test_a_service_that_is_away_is_told_before_the_first_byte(
    stack: Stack, gateway: httpx.AsyncClient, away: str
):
    person = (await sent(gateway, a_message()))["person_id"]
    await stack.stop(away)

    answer = await gateway.get(f"/v1/persons/{person}/export")

    assert (answer.status_code, answer.json()["reason"]) == (503, "SERVICE_UNAVAILABLE")


async def test_what_breaks_on_the_way_is_no_zip_and_no_whole_answer(
    stack: Stack, gateway: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
):
    person = (await sent(gateway, a_message()))["person_id"]
    await a_document(database, person, content=bytes(3 << 20))
    each = Answers.each

    async def breaking(self: Any, seconds: float) -> Any:
        count = 0
        async for answer in each(self, seconds):
            count += 1
            if count > 4:
                raise TimeoutError("the knowledge service did not go on in time")
            yield answer

    monkeypatch.setattr(Answers, "each", breaking)
    received = b""
    async with stack.listening() as url, httpx.AsyncClient(base_url=url) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            async with client.stream("GET", f"/v1/persons/{person}/export") as answer:
                assert answer.status_code == 200
                async for block in answer.aiter_raw():
                    received += block
    assert received
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(received))


async def test_a_client_that_leaves_ends_the_calls(
    stack: Stack, gateway: httpx.AsyncClient, database: Database
):
    person = (await sent(gateway, a_message()))["person_id"]
    for _ in range(3):
        await a_document(database, person, content=ids.new().encode() * 200_000)

    async with stack.listening(most_exports=1) as url, httpx.AsyncClient(base_url=url) as client:
        path = f"/v1/persons/{person}/export"
        async with client.stream("GET", path) as answer:
            await anext(answer.aiter_raw())
            busy = await client.get(path)
        async with asyncio.timeout(10):
            while (again := await client.get(path)).status_code == 429:
                await asyncio.sleep(0.02)

    assert (busy.status_code, busy.json()["reason"]) == (429, "OVERLOADED")
    assert len(opened(again.content)) == len(ENTRIES) + 3


async def test_a_large_file_goes_through_in_flat_memory(
    stack: Stack, gateway: httpx.AsyncClient, database: Database, tmp_path: Path
):
    """All three services and the gateway are in this process."""
    person = (await sent(gateway, a_message()))["person_id"]
    document = await a_document(database, person, with_file=False, size=50 << 20)
    block = hashlib.sha512(b"noise").digest() * 16384
    await a_file(database, key_of(person, document), block * 50)
    path = tmp_path / "export.zip"

    async with stack.listening() as url, httpx.AsyncClient(base_url=url) as client:
        tracemalloc.start()
        try:
            async with client.stream("GET", f"/v1/persons/{person}/export") as answer:
                with path.open("wb") as file:
                    async for received in answer.aiter_raw():
                        file.write(received)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    with zipfile.ZipFile(path) as read:
        info = read.getinfo(f"files/{document}/notes.txt")
        assert info.file_size == 50 << 20
    assert peak < 12 << 20, peak


async def test_unknown_people_cannot_be_exported(gateway: httpx.AsyncClient):
    unknown = await gateway.get(f"/v1/persons/{ids.new()}/export")
    malformed = await gateway.get("/v1/persons/x/export")

    assert (unknown.status_code, unknown.json()["reason"]) == (404, "PERSON_NOT_FOUND")
    assert (malformed.status_code, malformed.json()["reason"]) == (400, "INVALID_ARGUMENT")
