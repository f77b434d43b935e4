"""Brings the schemas of the three services up to date, or says how old they are."""

from collections.abc import AsyncIterator

import asyncpg

from kithctl.failure import Failure
from svckit import migrate
from svckit.settings import check_database_url

SCHEMAS = {"identity": "identity_svc", "event": "event_svc", "knowledge": "knowledge_svc"}
"""The package that each schema belongs to."""


async def migrate_all(url: str) -> dict[str, int]:
    """Bring every schema up to date, as a role that may; answers their versions."""
    _check(url)
    try:
        return {
            schema: await migrate.migrate(url, package, schema)
            for schema, package in SCHEMAS.items()
        }
    except (OSError, ValueError, RuntimeError, asyncpg.PostgresError, asyncpg.InterfaceError) as e:
        raise Failure(f"cannot migrate the database: {_described(e)}") from e


async def versions(url: str) -> AsyncIterator[tuple[str, int, int]]:
    """Each schema with the version that the database has and the one that this code needs."""
    _check(url)
    for schema, package in SCHEMAS.items():
        try:
            needed = max((number for number, _, _ in migrate.files(package)), default=0)
            installed = await migrate.installed_version(url, schema)
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Failure(f"cannot read the database: {_described(error)}") from error
        yield schema, installed, needed


def _check(url: str) -> None:
    try:
        check_database_url(url)
    except ValueError as error:
        raise Failure(str(error)) from None


def _described(error: Exception) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__
