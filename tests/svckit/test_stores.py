"""The store that the settings choose, and settings that cannot be meant."""

import asyncpg
import pytest
from pydantic import SecretStr

from identity_svc.settings import Settings
from svckit import migrate, settings
from svckit.stores import open_store
from tests.support.cluster import Database
from tests.support.postgrest import KEY, Postgrest

ANON = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KITH_DATABASE_URL", "KITH_STORE", "SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"):
        monkeypatch.delenv(name, raising=False)


async def test_a_database_url_means_a_direct_connection(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KITH_DATABASE_URL", database.url())

    async with open_store(Settings(), "identity_svc", "identity") as store:
        await store.prepare()

        assert await store.functions.call("get_persons", person_ids=[]) == []
        assert Settings().backend == "postgres"


async def test_supabase_means_rest(
    postgrest: Postgrest, monkeypatch: pytest.MonkeyPatch, database: Database
):
    monkeypatch.setenv("SUPABASE_URL", postgrest.url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", KEY)

    async with open_store(Settings(), "identity_svc", "identity") as store:
        await store.prepare()

        assert await store.functions.call("get_persons", person_ids=[]) == []
    assert postgrest.calls == ["schema_version", "get_persons"]


async def test_over_rest_a_schema_that_is_behind_is_refused_and_not_migrated(
    postgrest: Postgrest, monkeypatch: pytest.MonkeyPatch, database: Database
):
    monkeypatch.setenv("SUPABASE_URL", postgrest.url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", KEY)
    connection = await asyncpg.connect(database.url())
    await connection.execute("DELETE FROM identity.schema_migrations WHERE version > 1")
    await connection.close()

    async with open_store(Settings(), "identity_svc", "identity") as store:
        with pytest.raises(migrate.SchemaBehind, match="kith schema"):
            await store.prepare()

    assert await migrate.installed_version(database.url(), "identity") == 1


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({}, "KITH_DATABASE_URL"),
        ({"KITH_STORE": "supabase"}, "SUPABASE_URL"),
        ({"SUPABASE_URL": "https://x.example"}, "SUPABASE_SERVICE_ROLE_KEY"),
        ({"SUPABASE_URL": "https://x.example", "SUPABASE_KEY": ANON}, "anon"),
        (
            {"SUPABASE_URL": "https://x.example", "SUPABASE_KEY": "sb_publishable_1"},
            "publishable",
        ),
        ({"SUPABASE_URL": "x.example", "SUPABASE_KEY": "sb_secret_1"}, "SUPABASE_URL"),
        ({"KITH_DATABASE_URL": "localhost/kith"}, "KITH_DATABASE_URL"),
        ({"KITH_DATABASE_URL": "postgresql://kith:hun/ter@host/x"}, "KITH_DATABASE_URL"),
        ({"KITH_IDENTITY_DATABASE_URL": "postgresql://a:b#c@host/x"}, "KITH_DATABASE_URL"),
        ({"KITH_DATABASE_URL": "postgresql:///x", "KITH_STORE": "sqlite"}, "KITH_STORE"),
        ({"KITH_DATABASE_URL": "postgresql:///x", "KITH_IDENTITY_BIND": "nowhere"}, "BIND"),
        ({"KITH_DATABASE_URL": "postgresql:///x", "KITH_IDENTITY_BIND": "0.0.0.0:1"}, "TOKEN"),
        ({"KITH_DATABASE_URL": "postgresql:///x", "KITH_LOG_LEVEL": "loud"}, "KITH_LOG_LEVEL"),
    ],
)
def test_what_cannot_be_meant_ends_the_start_with_one_line_that_names_the_variable(
    environment: dict[str, str],
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit):
        settings.load(Settings, "identity")

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert variable in said


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///kith",
        "postgres://host/kith",
        "postgresql://kith@/kith?host=/run/postgresql&port=5432",
        "postgresql://kith:p%2Fw@[::1]:5432/kith?sslmode=require",
        "postgresql://kith:a:b@one:5432,two:5433/kith",
        "postgresql://kith:secret@host",
    ],
)
def test_every_way_to_write_a_database_url_is_taken(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KITH_DATABASE_URL", url)

    assert Settings().database_url == SecretStr(url)


def test_a_missing_client_of_supabase_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SUPABASE_URL", "https://x.example")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_1")
    monkeypatch.setattr("svckit.settings.find_spec", lambda _: None)

    with pytest.raises(SystemExit):
        settings.load(Settings, "identity")

    assert "kith[supabase]" in capsys.readouterr().err
