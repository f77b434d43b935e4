"""Projections in Postgres, through the SQL functions of the schema `event`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from event_svc.domain.projections import (
    BackfillStep,
    Definition,
    Projection,
    ProjectionConflict,
    ProjectionNotFound,
    ProjectionValue,
    TooManyProjections,
    ValueQuery,
)
from svckit.errors import SqlError
from svckit.sql import SqlFunctions


class SqlProjectionStore:
    """The ProjectionStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def define(self, definition: Definition) -> tuple[Projection, bool]:
        try:
            answer = await self._sql.call("define_projection", **asdict(definition))
        except SqlError as error:
            if error.code == "ZE010":
                raise TooManyProjections from error
            raise
        projection = _projection(answer["projection"])
        if projection.definition != definition:
            raise ProjectionConflict(definition.name)
        return projection, answer["created"]

    async def get(self, name: str) -> Projection:
        rows = await self._sql.call("list_projections", name=name)
        if not rows:
            raise ProjectionNotFound(name)
        return _projection(rows[0])

    async def list(self) -> Sequence[Projection]:
        return [_projection(row) for row in await self._sql.call("list_projections")]

    async def delete(self, name: str) -> bool:
        return bool(await self._sql.call("delete_projection", name=name))

    async def values(
        self, query: ValueQuery, *, after: tuple[str, str | None] | None, limit: int
    ) -> Sequence[ProjectionValue]:
        after_key, after_subject = after or (None, None)
        rows = await self._sql.call(
            "list_projection_values",
            name=query.name,
            subject_ids=list(query.subject_ids),
            key=query.key,
            combine=query.combine,
            after_key=after_key,
            after_subject=after_subject,
            page_limit=limit,
        )
        if rows is None:
            raise ProjectionNotFound(query.name)
        return [_value(row) for row in rows]

    async def backfill(self, most_positions: int) -> BackfillStep:
        return BackfillStep(
            **await self._sql.call("backfill_projections", most_positions=most_positions)
        )


def _projection(row: dict[str, Any]) -> Projection:
    return Projection(
        Definition(row["name"], row["event_types"], row["value_path"], row["key_path"]),
        row["since_position"],
        row["backfilled_position"],
        row["created_at"],
    )


def _value(row: dict[str, Any]) -> ProjectionValue:
    # JSON spells a double that is integral as an integer, with digits that are not its own.
    doubles = {
        name: None if row[name] is None else float(row[name]) for name in ("sum", "mean", "last")
    }
    return ProjectionValue(**{**row, **doubles})
