"""Namespaces over the SQL functions of schema `knowledge`."""

from collections.abc import Sequence

from knowledge_svc.domain.shelves import Shelf
from svckit.sql import SqlFunctions


class SqlShelfStore:
    """The namespaces in Postgres."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def shelves(
        self, subject_ids: Sequence[str] | None, *, after: str, limit: int
    ) -> list[Shelf]:
        rows = await self._functions.call(
            "list_namespaces",
            subject_ids=None if subject_ids is None else [*subject_ids],
            after=after,
            most=limit,
        )
        return [Shelf(**row) for row in rows]
