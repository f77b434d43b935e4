"""Migrations: each file once, whoever starts at the same time, as the schema's owner."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from svckit import migrate, sql
from tests.support.cluster import Cluster, Database

CREATE = """
CREATE TABLE probed.things (name text PRIMARY KEY);
CREATE FUNCTION probed.count_things() RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = '' AS 'SELECT to_jsonb(count(*)) FROM probed.things';
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with one migration, importable for the length of a test."""
    migrations = tmp_path / "probed_svc" / "migrations"
    migrations.mkdir(parents=True)
    (migrations.parent / "__init__.py").touch()
    (migrations / "0001_create_things.sql").write_text(CREATE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "probed_svc"
    sys.modules.pop("probed_svc", None)


def folder(package: str) -> Path:
    module = __import__(package)
    return Path(str(module.__file__)).parent / "migrations"


async def test_of_five_at_once_one_applies(database: Database, package: str):
    url = database.url()

    versions = await asyncio.gather(*(migrate.migrate(url, package, "probed") for _ in range(5)))

    assert versions == [1] * 5
    assert await migrate.installed_version(url, "probed") == 1


async def test_a_new_file_is_applied_and_old_ones_are_not_again(database: Database, package: str):
    url = database.url()
    await migrate.migrate(url, package, "probed")
    (folder(package) / "0002_add_thing.sql").write_text("INSERT INTO probed.things VALUES ('one')")

    version = await migrate.migrate(url, package, "probed")
    await migrate.migrate(url, package, "probed")

    assert version == 2
    assert await scalar(url, "SELECT probed.count_things()") == "1"


async def test_a_file_that_fails_leaves_nothing_of_itself(database: Database, package: str):
    url = database.url()
    (folder(package) / "0002_break.sql").write_text(
        "INSERT INTO probed.things VALUES ('half'); SELECT 1 / 0"
    )

    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate.migrate(url, package, "probed")

    assert (
        await migrate.installed_version(url, "probed") == 0
        or await scalar(url, "SELECT probed.count_things()") == "0"
    )


async def test_a_file_changed_after_it_was_applied_is_refused(database: Database, package: str):
    url = database.url()
    await migrate.migrate(url, package, "probed")
    (folder(package) / "0001_create_things.sql").write_text(CREATE + "-- changed")

    with pytest.raises(RuntimeError, match="0001_create_things"):
        await migrate.migrate(url, package, "probed")


async def test_the_login_role_may_execute_and_nothing_else(database: Database, package: str):
    await migrate.migrate(database.url(), package, "probed")
    url = database.url("kith_probed")

    assert await scalar(url, "SELECT probed.count_things()") == "0"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await scalar(url, "SELECT count(*) FROM probed.things")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await scalar(url, "CREATE TABLE probed.mine ()")


async def test_nobody_else_may_execute(database: Database, package: str):
    await migrate.migrate(database.url(), package, "probed")

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await scalar(database.url("kith_identity"), "SELECT probed.count_things()")


async def test_a_service_that_may_not_migrate_says_what_to_do(
    database: Database, package: str, cluster: Cluster
):
    await migrate.migrate(database.url(), package, "probed")
    (folder(package) / "0002_add_thing.sql").write_text("INSERT INTO probed.things VALUES ('one')")

    with pytest.raises(migrate.SchemaBehind, match="kith schema"):
        await migrate.ensure(database.url("kith_probed"), package, "probed")
    await migrate.ensure(database.url(), package, "probed")

    assert await migrate.installed_version(database.url(), "probed") == 2


async def test_a_role_that_may_create_roles_is_enough(database: Database, package: str):
    name = await scalar(database.url(), "SELECT current_database()")
    await execute(
        database.url(),
        f"""DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'migrator') THEN
                    CREATE ROLE migrator LOGIN CREATEROLE;
                END IF;
            END $$;
            GRANT CREATE ON DATABASE "{name}" TO migrator""",
    )
    url = database.url("migrator")
    (folder(package) / "0001_create_things.sql").write_text(CREATE.replace("probed", "entrusted"))

    await migrate.ensure(url, package, "entrusted")

    async with sql.open_pool(url, role="kith_entrusted") as pool:
        assert await sql.AsyncpgFunctions(pool, "entrusted").call("schema_version") == 1


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def scalar(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        if statement.startswith("CREATE"):
            return await connection.execute(statement)
        return await connection.fetchval(statement)
    finally:
        await connection.close()
