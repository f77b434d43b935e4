"""The vector index on pgvector, beside the items."""

from collections.abc import Sequence
from dataclasses import asdict

from knowledge_svc.domain import Filter, Match, Space, Vector
from svckit.sql import SqlFunctions


class PgvectorIndex:
    """A table for each space, reached through the SQL functions of schema `knowledge`."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def prepare(self, space: Space) -> None:
        await self._functions.call("create_vectors", space=space.name, dimension=space.dimension)

    async def upsert(self, space: str, vectors: Sequence[Vector]) -> None:
        await self._functions.call(
            "upsert_vectors", space=space, vectors=[asdict(vector) for vector in vectors]
        )

    async def delete(self, space: str, ids: Sequence[str]) -> None:
        await self._functions.call("delete_vectors", space=space, ids=[*ids])

    async def nearest(
        self,
        space: str,
        query: Sequence[float],
        *,
        limit: int,
        narrow: Filter,
        ids: Sequence[str] | None = None,
    ) -> list[Match]:
        rows = await self._functions.call(
            "nearest_vectors",
            space=space,
            query=[*query],
            most=limit,
            narrow=narrow.as_json(),
            ids=None if ids is None else [*ids],
        )
        return [Match(*row) for row in rows]
