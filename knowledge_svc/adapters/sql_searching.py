"""Searching over the SQL functions of schema `knowledge`."""

import itertools
from collections.abc import Sequence
from typing import Any

import orjson

from knowledge_svc.domain.items import Filter, Item
from knowledge_svc.domain.searching import Few, Many, Neighbour, Passage
from svckit.sql import SqlFunctions


class SqlSearchStore:
    """The items in Postgres, as a search sees them."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def look_over(self, chosen: Filter, words: Sequence[str], *, most: int) -> Few | Many:
        found = await self._functions.call(
            "look_over", filter=chosen.as_json(), words=[*words], most=most
        )
        if "revisions" in found:
            return Few(found["revisions"])
        return Many(found["items"], found["average"], found["holding"], dict(found["hits"]))

    async def passages(self, chosen: Filter, revisions: Sequence[int]) -> list[Passage]:
        columns = await self._functions.call(
            "read_passages", filter=chosen.as_json(), revisions=[*revisions]
        )
        return _passages(columns)

    async def surroundings(
        self, ids: Sequence[str], chosen: Filter, *, reach: int
    ) -> list[Passage]:
        columns = await self._functions.call(
            "read_surroundings", ids=[*ids], filter=chosen.as_json(), reach=reach
        )
        return _passages(columns)

    async def matching_ids(self, chosen: Filter, *, most: int) -> list[str] | None:
        ids: list[str] | None = await self._functions.call(
            "matching_ids", filter=chosen.as_json(), most=most
        )
        return ids

    async def fitting_ids(self, chosen: Filter, *, after: str | None, limit: int) -> list[str]:
        found: list[str] = await self._functions.call(
            "fitting_ids", filter=chosen.as_json(), after=after, most=limit
        )
        return found

    async def read(self, ids: Sequence[str], chosen: Filter) -> dict[str, Item]:
        rows = await self._functions.call("read_items", ids=[*ids], filter=chosen.as_json())
        return {row["knowledge_id"]: Item(**row) for row in rows}

    async def beside(self, ids: Sequence[str], chosen: Filter, *, reach: int) -> list[Neighbour]:
        rows = await self._functions.call(
            "read_beside", ids=[*ids], filter=chosen.as_json(), reach=reach
        )
        neighbours = [Neighbour(hit_id, distance, Item(**item)) for hit_id, distance, item in rows]
        return sorted(neighbours, key=lambda one: (one.hit_id, one.distance))


def _passages(columns: Sequence[Any]) -> list[Passage]:
    """Passages of columns; the terms of all items come in one text, and so do their counts."""
    if not columns:
        return []
    *scalars, sizes, joined_terms, joined_counts = columns
    terms = joined_terms.split(" ") if joined_terms else []
    counts = orjson.loads(f"[{joined_counts or ''}]")
    ends = [*itertools.accumulate(sizes)]
    bounds = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    return [
        Passage._make([*row, terms[bound], counts[bound]])
        for *row, bound in zip(*scalars, bounds, strict=True)
    ]
