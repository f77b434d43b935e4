"""`kith knowledge` tells what waits and what was given up, and has it tried again."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from knowledge_svc.__main__ import assemble
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.adapters.sql_items import SqlItemStore
from knowledge_svc.backends import Backends
from tests.support.blobs import blobs_of
from tests.support.cluster import Database
from tests.support.command import kith
from tests.support.knowledge import (
    QUICK,
    FailingEmbedder,
    an_entry,
    as_administrator,
    eventually,
)
from tests.support.services import running, store_of

LETTERS = ("knowledge", "dead-letters")


@pytest.fixture
async def address(database: Database) -> AsyncIterator[str]:
    """A service that wants a token and has given up three of four items."""
    async with store_of(database, "knowledge") as store:
        await SqlItemStore(store.functions).store(
            [
                an_entry("poison 1", namespace="notes"),
                an_entry("poison 2"),
                an_entry("poison 3"),
                an_entry("fine"),
            ]
        )
    embedder = FailingEmbedder(
        lambda texts: ValueError("bad ü") if any("poison" in text for text in texts) else None
    )

    def assembled(store: Any) -> Any:
        backends = Backends(PgvectorIndex(store.functions), embedder, blobs_of(database))
        return assemble(store, backends, replace(QUICK, most_attempts=1))

    async def are_given_up() -> bool:
        async with as_administrator(database) as admin:
            states = await admin.fetch("SELECT state FROM knowledge.index_states ORDER BY 1")
        return [row["state"] for row in states] == ["failed"] * 3 + ["indexed"]

    async with running(assembled, database, "knowledge", token="s3cret") as address:
        await eventually(are_given_up, seconds=30)
        yield address


async def test_dead_letters_are_listed_with_reasons_and_replayed(address, tmp_path):
    environment = {"KITH_KNOWLEDGE_ADDRESS": address, "KITH_SERVICE_TOKEN": "s3cret"}

    listed = await kith(*LETTERS, home=tmp_path, **environment)
    notes = await kith(*LETTERS, "--namespace", "notes", "--json", home=tmp_path, **environment)
    [letter] = [json.loads(line) for line in notes.output.splitlines()]
    one = await kith(
        *LETTERS, "--replay", "--id", letter["knowledge_id"], home=tmp_path, **environment
    )
    others = await kith(
        *LETTERS, "--replay", "--namespace", "default", home=tmp_path, **environment
    )
    status = await kith("knowledge", "status", home=tmp_path, **environment)

    letters = [json.loads(line) for line in listed.output.splitlines()]
    assert (listed.status, len(letters)) == (0, 3)
    assert {one["error"] for one in letters} == {"ValueError: bad ü"}
    assert letter["namespace"] == "notes"
    assert (one.status, one.summary) == (0, {"replayed": 1})
    assert others.summary == {"replayed": 2}
    assert status.status == 0
    assert status.summary["spaces"][0]["indexed_items"] == 1
    assert status.summary["backlog"] + status.summary["dead_letters"] == 3


async def test_the_service_of_a_running_kith_is_found(address, tmp_path):
    (tmp_path / "addresses.json").write_text(
        json.dumps({"processes": {"knowledge": {"address": address}}})
    )

    found = await kith(*LETTERS, "--replay", home=tmp_path, KITH_SERVICE_TOKEN="s3cret")

    assert (found.status, found.errors, found.summary) == (0, "", {"replayed": 3})


async def test_what_is_wrong_is_one_line(tmp_path):
    away = await kith(*LETTERS, "--service", "127.0.0.1:1", home=tmp_path)
    both = await kith(*LETTERS, "--id", "a", "--namespace", "b", home=tmp_path)
    alone = await kith(*LETTERS, "--id", "a", home=tmp_path)

    assert (away.status, away.errors) == (1, "kith: no knowledge service answers at 127.0.0.1:1\n")
    assert both.errors == "kith: --id and --namespace cannot be combined\n"
    assert alone.errors == "kith: --id needs --replay\n"
