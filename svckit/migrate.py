"""Numbered SQL files, each applied once, under an advisory lock, as the schema's owner.

A package keeps them in `migrations/NNNN_verb_noun.sql`. Beside them, `admin.sql` (where
there is one) runs first and as the connecting role: what only an administrator may do,
such as creating an extension. Per schema there are two roles: `kith_<schema>_owner` owns
everything and cannot log in; `kith_<schema>` may execute the schema's functions and
nothing else.
"""

import hashlib
from importlib import resources
from typing import Any

import asyncpg

from svckit import logs

log = logs.get(__name__)

# One lock for all schemas: roles and extensions belong to the cluster and the database.
_LOCK = 0x6B697468


class SchemaBehind(RuntimeError):
    """The database's schema is older than this code, and this role may not change it."""


def files(package: str) -> list[tuple[int, str, str]]:
    """The migrations of a package in order: number, name, text."""
    folder = resources.files(package) / "migrations"
    found = [
        (int(file.name[:4]), file.name, file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql") and file.name[:4].isdigit()
    ]
    return sorted(found)


async def installed_version(url: str, schema: str) -> int:
    """The number of the last migration that the database has; 0 for none."""
    connection = await asyncpg.connect(url, timeout=3)
    try:
        return await _version(connection, schema)
    finally:
        await connection.close()


async def migrate(url: str, package: str, schema: str) -> int:
    """Bring a schema up to date, as a role that may; answers its version.

    Safe to run at once from many processes: one applies, the others wait and find
    nothing to do.
    """
    connection = await asyncpg.connect(url, timeout=3)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        try:
            await _create_roles(connection, schema)
            await _run_admin_file(connection, package)
            await connection.execute(f"SET ROLE kith_{schema}_owner")
            await _apply(connection, package, schema)
            await connection.execute("RESET ROLE")
            return await _version(connection, schema)
        finally:
            await connection.execute("RESET ROLE; SELECT pg_advisory_unlock_all()")
    finally:
        await connection.close()


async def ensure(url: str, package: str, schema: str) -> None:
    """What a service does at start: migrate where its role may, else check the version.

    Raises SchemaBehind where the schema is too old and the role may not change it.
    """
    needed = files(package)[-1][0]
    connection = await asyncpg.connect(url, timeout=3)
    try:
        if await _version(connection, schema) >= needed:
            return
        may = await connection.fetchval(
            "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
        )
    finally:
        await connection.close()
    if not may:
        raise SchemaBehind(f"schema {schema} is older than version {needed}; run `kith schema`")
    await migrate(url, package, schema)


async def _version(connection: Any, schema: str) -> int:
    if await connection.fetchval(
        "SELECT to_regprocedure($1 || '.schema_version()') IS NULL", schema
    ):
        return 0
    return int(await connection.fetchval(f"SELECT {schema}.schema_version()"))


async def _create_roles(connection: Any, schema: str) -> None:
    # Roles belong to the cluster; another database's migration may be at it just now. From
    # Postgres 16 on, whoever creates a role is its member without being allowed to act as it.
    membership = "SET" if connection.get_server_version() >= (16,) else "MEMBER"
    for role, option in ((f"kith_{schema}_owner", "NOLOGIN"), (f"kith_{schema}", "LOGIN")):
        await connection.execute(
            f"""DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                    CREATE ROLE {role} {option};
                END IF;
                IF NOT pg_has_role(current_user, '{role}', '{membership}') THEN
                    GRANT {role} TO CURRENT_USER;
                END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END $$"""
        )
    await connection.execute(
        f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION kith_{schema}_owner"
    )


async def _run_admin_file(connection: Any, package: str) -> None:
    file = resources.files(package) / "migrations" / "admin.sql"
    if file.is_file():
        await connection.execute(file.read_text(encoding="utf-8"))


async def _apply(connection: Any, package: str, schema: str) -> None:
    await connection.execute(
        f"""ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
            CREATE TABLE IF NOT EXISTS {schema}.schema_migrations (
                version     integer PRIMARY KEY,
                name        text NOT NULL,
                checksum    text NOT NULL,
                applied_at  timestamptz NOT NULL DEFAULT now()
            );
            ALTER TABLE {schema}.schema_migrations ENABLE ROW LEVEL SECURITY;
            CREATE OR REPLACE FUNCTION {schema}.schema_version() RETURNS jsonb
            LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
            AS 'SELECT to_jsonb(coalesce(max(version), 0)) FROM {schema}.schema_migrations'"""
    )
    applied = dict(
        await connection.fetch(f"SELECT version, checksum FROM {schema}.schema_migrations")
    )
    for number, name, text in files(package):
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if number in applied:
            if applied[number] != checksum:
                raise RuntimeError(f"{package}/migrations/{name} was changed after it was applied")
            continue
        async with connection.transaction():
            await connection.execute(text)
            await connection.execute(
                f"INSERT INTO {schema}.schema_migrations VALUES ($1, $2, $3)",
                number, name, checksum,
            )  # fmt: skip
        log.info("migration applied", schema=schema, file=name)
    await connection.execute(_grants(schema))


def _grants(schema: str) -> str:
    """Who may execute the schema's functions: its login role, on Supabase the service role."""
    return f"""
        REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC;
        GRANT USAGE ON SCHEMA {schema} TO kith_{schema};
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO kith_{schema};
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
                GRANT USAGE ON SCHEMA {schema} TO service_role;
                GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO service_role;
            END IF;
        END $$;
        NOTIFY pgrst, 'reload schema'"""
