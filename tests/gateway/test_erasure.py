"""Erasing people from all three services: the receipt, outages, races, and what comes after."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from gateway.flows.erasing import Erasing
from kith.knowledge.v1 import knowledge_service_pb2
from kith.knowledge.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from svckit import ids
from tests.support.cluster import Database, administrator
from tests.support.keeping import a_document, a_memory, content_of, key_of
from tests.support.messages import a_message, eventually, sent, texts
from tests.support.services import channel_to
from tests.support.stack import Stack

Json = dict[str, Any]


async def spoken(client: httpx.AsyncClient, number: int = 2, **changes: Any) -> Json:
    """The answer to the last of some messages."""
    return [await sent(client, a_message(**changes)) for _ in range(number)][-1]


async def deleted(client: httpx.AsyncClient, person_id: str, status: int = 200) -> Json:
    answer = await client.delete(f"/v1/persons/{person_id}")
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def found(client: httpx.AsyncClient, query: str = "spare key flower pot") -> list[Json]:
    answer = await client.post("/v1/search", json={"query": query, "mode": "keyword"})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["hits"])


def finished(client: httpx.AsyncClient, erasure_id: str) -> Callable[[], Awaitable[Any]]:
    async def look() -> Json | None:
        answer = await client.get(f"/v1/erasures/{erasure_id}")
        is_done = answer.status_code == 200 and answer.json()["state"] == "succeeded"
        return answer.json() if is_done else None

    return look


async def traces_of(database: Database, *names: str) -> list[str]:
    """Columns of any table of any schema that still say one of these."""
    left = []
    async with administrator(database) as admin:
        tables = await admin.fetch(
            "SELECT schemaname, tablename FROM pg_tables "
            "WHERE schemaname IN ('identity', 'event', 'knowledge')"
        )
        for schema, table in tables:
            for name in names:
                rows = await admin.fetchval(
                    f"SELECT count(*) FROM {schema}.{table} t WHERE position($1 IN t::text) > 0",
                    name,
                )
                if rows:
                    left.append(f"{schema}.{table}: {name}")
    return left


async def test_everything_about_a_person_goes_and_the_answer_is_the_receipt(
    gateway: httpx.AsyncClient, database: Database
):
    ada = await spoken(gateway, text="My Xylophone is under the blue flower pot.")
    person = ada["person_id"]
    await spoken(gateway, sender_id="ben")
    document = await a_document(database, person)
    await a_memory(database, person, ids.new())

    receipt = await deleted(gateway, person)

    assert receipt["state"] == "succeeded"
    assert receipt["person_ids"] == [person]
    assert [step["stage"] for step in receipt["steps"]] == ["knowledge", "events", "identity"]
    knowledge, events, identity = (step["erased"] for step in receipt["steps"])
    assert {**knowledge, "vectors": None} == {
        "items": 2, "memories": 1, "memory_versions": 2, "documents": 1, "files": 1,
        "vectors": None,
    }  # fmt: skip
    assert events == {"events": 3}
    assert identity["persons"] == identity["links"] == 1
    assert receipt["remaining"] and not any(receipt["remaining"].values())
    assert {caveat["about"] for caveat in receipt["caveats"]} >= {"backups", "places in the log"}
    assert await content_of(database, key_of(person, document)) is None
    assert (await gateway.get(f"/v1/persons/{person}")).status_code == 404
    assert (await gateway.get("/v1/resolve?platform=discord&platform_id=ada")).status_code == 404
    assert {hit["person_id"] for hit in await found(gateway)} != {person}
    # Not a word of theirs is in any row of any table.
    assert await traces_of(database, "Xylophone", "xylophon") == []


async def test_a_receipt_can_be_read_again_and_the_same_erasure_is_answered_again(
    gateway: httpx.AsyncClient,
):
    person = (await spoken(gateway))["person_id"]
    receipt = await deleted(gateway, person)

    assert await deleted(gateway, person) == receipt
    again = await gateway.get(f"/v1/erasures/{receipt['erasure_id']}")
    done = await gateway.get("/v1/erasures?state=succeeded")
    running = await gateway.get("/v1/erasures?state=running")
    assert again.json() == receipt
    assert done.json() == {"erasures": [receipt], "next_page_token": None}
    assert running.json()["erasures"] == []


async def test_the_whole_merged_person_goes(gateway: httpx.AsyncClient, database: Database):
    ada = (await spoken(gateway, text="Rhubarb by the blue flower pot."))["person_id"]
    other = (await spoken(gateway, sender_id="42", platform="telegram",
                          text="Rhubarb is what I had said there."))["person_id"]  # fmt: skip
    merged = await gateway.post(f"/v1/persons/{ada}/merge", json={"source_person_id": other})
    assert merged.status_code == 200

    receipt = await deleted(gateway, other)

    assert sorted(receipt["person_ids"]) == sorted([ada, other])
    assert await traces_of(database, "Rhubarb", '"42"') == []


@pytest.mark.parametrize("away", ["knowledge", "event"])
async def test_what_a_service_that_is_away_holds_up_is_finished_when_it_is_back(
    stack: Stack, database: Database, away: str
):
    async with stack.gateway(catch_up=True, request_seconds=1.5) as client:
        person = (await spoken(client, text="Rhubarb by the blue flower pot."))["person_id"]
        await stack.stop(away)
        answer = await client.delete(f"/v1/persons/{person}")
        body = answer.json()
        # Nobody is that person any more, at once.
        gone = await client.get("/v1/resolve?platform=discord&platform_id=ada")
        await stack.start(away)
        receipt = await eventually(finished(client, body["erasure_id"]))

    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/erasures/{body['erasure_id']}"
    assert body["state"] == "running"
    assert [step["stage"] for step in body["steps"]] == ([] if away == "knowledge" else [
        "knowledge"
    ])  # fmt: skip
    assert gone.status_code == 404
    assert not any(receipt["remaining"].values())
    assert await traces_of(database, "Rhubarb") == []


async def test_nothing_about_somebody_changes_while_they_are_erased(
    stack: Stack, gateway: httpx.AsyncClient
):
    said = await spoken(gateway)
    person = said["person_id"]
    await stack.stop("event")
    await deleted(gateway, person, 202)
    await stack.start("event")

    patched = await gateway.patch(f"/v1/persons/{person}", json={"metadata": {"a": 1}})
    linked = await gateway.post(f"/v1/persons/{person}/links",
                                json={"platform": "x", "platform_id": "ada"})  # fmt: skip
    written = await sent(gateway, a_message())
    finished_by_repeating = await deleted(gateway, person)

    for answer in (patched, linked):
        assert (answer.status_code, answer.json()["reason"]) == (409, "PERSON_ERASING")
    assert written["person_id"] != person
    assert finished_by_repeating["state"] == "succeeded"


async def test_without_identity_nothing_begins(stack: Stack, gateway: httpx.AsyncClient):
    person = (await spoken(gateway))["person_id"]
    await stack.stop("identity")

    answer = await gateway.delete(f"/v1/persons/{person}")
    await stack.start("identity")

    assert (answer.status_code, answer.json()["reason"]) == (503, "SERVICE_UNAVAILABLE")
    assert (await gateway.get("/v1/erasures")).json()["erasures"] == []


async def test_any_gateway_goes_on_with_what_another_one_left_when_it_died(
    stack: Stack, gateway: httpx.AsyncClient
):
    person = (await spoken(gateway))["person_id"]
    await stack.stop("event")
    # This one has no background work, so it is as good as dead.
    left = await deleted(gateway, person, 202)
    await stack.start("event")

    async with stack.gateway(catch_up=True) as one, stack.gateway(catch_up=True) as other:
        receipt = await eventually(finished(one, left["erasure_id"]))
        seen = (await other.get(f"/v1/erasures/{left['erasure_id']}")).json()

    assert receipt == seen
    assert receipt["steps"][0] == left["steps"][0]


async def test_gateways_that_erase_the_same_person_at_once_do_no_harm(
    stack: Stack, gateway: httpx.AsyncClient
):
    person = (await spoken(gateway, 4))["person_id"]

    async with stack.gateway(catch_up=True) as one, stack.gateway(catch_up=True) as other:
        answers = await asyncio.gather(*(
            client.delete(f"/v1/persons/{person}") for client in (gateway, one, other) * 2
        ))  # fmt: skip
        receipt = await eventually(finished(one, answers[0].json()["erasure_id"]))

    assert {answer.status_code for answer in answers} <= {200, 202}
    assert {answer.json()["erasure_id"] for answer in answers} == {receipt["erasure_id"]}
    assert receipt["erased"]["items"] == 4
    assert receipt["erased"]["events"] == 5


async def test_what_is_left_when_counted_again_is_not_called_done(
    gateway: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
):
    async def leaky(*_: Any) -> Any:
        return {"items": 1}, {"items": 1}

    person = (await spoken(gateway))["person_id"]
    with monkeypatch.context() as patched:
        patched.setattr(Erasing, "_erase_knowledge", leaky)
        left = await deleted(gateway, person, 202)

    assert left["steps"] == []
    assert (await deleted(gateway, person))["state"] == "succeeded"


async def test_whoever_writes_again_is_somebody_new(stack: Stack, database: Database):
    async with stack.gateway(catch_up=True) as client:
        old = await spoken(client, text="Rhubarb by the blue flower pot.")
        receipt = await deleted(client, old["person_id"])
        new = await spoken(client, 1, text="I am back with my blue flower pot.")

        assert new["person_id"] != old["person_id"]
        assert new["knowledge"]["state"] == "stored"
        assert await texts(client, new["person_id"]) == ["I am back with my blue flower pot."]
        assert len(await found(client)) == 1
    assert receipt["erased"]["events"] == 3
    assert await traces_of(database, "Rhubarb") == []


async def test_catching_up_revives_nobody(stack: Stack, database: Database):
    """Knowledge is erased and the log is not yet: its messages look as if they were missed."""
    async with stack.gateway() as client:
        await stack.stop("knowledge")
        said = await spoken(client, text="Rhubarb by the blue flower pot.")
        later = await spoken(client, 1, sender_id="ben")
        assert said["knowledge"]["state"] == "deferred"
        await stack.start("knowledge")
        erasure = (await client.get(f"/v1/persons/{said['person_id']}")).json()
        async with channel_to(stack.target("knowledge")) as channel:
            await KnowledgeServiceStub(channel).EraseSubjects(
                knowledge_service_pb2.EraseSubjectsRequest(subject_ids=erasure["person_ids"])
            )

    async with stack.gateway(catch_up=True) as client:

        async def is_known() -> bool:
            # The reader has come past the erased ones to somebody else's.
            return any(hit["person_id"] == later["person_id"] for hit in await found(client))

        await eventually(is_known)
        assert {hit["person_id"] for hit in await found(client)} == {later["person_id"]}
        await deleted(client, said["person_id"])
    assert await traces_of(database, "Rhubarb") == []


async def test_messages_that_come_while_somebody_is_erased_are_theirs_or_somebody_news(
    stack: Stack, database: Database
):
    async with stack.gateway(catch_up=True) as client:
        old = (await spoken(client))["person_id"]
        stop = asyncio.Event()
        answers: list[httpx.Response] = []

        async def write() -> None:
            while not stop.is_set():
                answers.append(await client.post("/v1/messages", json=a_message(text=(
                    f"Rhubarb number {len(answers)} lies under the blue flower pot."
                ))))  # fmt: skip

        writers = [asyncio.create_task(write()) for _ in range(8)]
        await eventually(lambda: _true(len(answers) > 20))
        answer = await client.delete(f"/v1/persons/{old}")
        receipt = await eventually(finished(client, answer.json()["erasure_id"]))
        count = len(answers)
        await eventually(lambda: _true(len(answers) > count + 20))
        stop.set()
        await asyncio.gather(*writers)

    assert {one.status_code for one in answers} <= {200, 201, 409}
    refused = {one.json()["reason"] for one in answers if one.status_code == 409}
    assert refused <= {"SUBJECT_ERASED", "PERSON_ERASING"}
    people = {one.json()["person_id"] for one in answers if one.status_code < 300}
    assert len(people) == 2
    assert old in people
    async with administrator(database) as admin:
        theirs = receipt["subject_ids"]
        assert await admin.fetchval(
            "SELECT count(*) FROM event.event_log "
            "WHERE (subject_id = ANY ($1) OR person_id = ANY ($1)) AND content <> '{}'", theirs,
        ) == 0  # fmt: skip
        assert await admin.fetchval(
            "SELECT count(*) FROM knowledge.knowledge_items "
            "WHERE subject_id = ANY ($1) OR person_id = ANY ($1)", theirs,
        ) == 0  # fmt: skip


async def _true(value: bool) -> bool:
    return value


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("DELETE", f"/v1/persons/{ids.named('nobody')}", 404, "PERSON_NOT_FOUND"),
        ("DELETE", "/v1/persons/x", 400, "INVALID_ARGUMENT"),
        ("GET", f"/v1/erasures/{ids.named('nobody')}", 404, "ERASURE_NOT_FOUND"),
        ("GET", "/v1/erasures/x", 400, "INVALID_ARGUMENT"),
        ("GET", "/v1/erasures?state=odd", 400, "INVALID_ARGUMENT"),
        ("GET", "/v1/erasures?page_token=x", 400, "INVALID_ARGUMENT"),
    ],
)
async def test_what_cannot_be_is_refused(gateway, method, path, status, reason):
    answer = await gateway.request(method, path)

    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
