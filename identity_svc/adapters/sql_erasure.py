"""Erasures in Postgres, through the SQL functions of the schema `identity`."""

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter

from identity_svc.adapters.places import arguments_of
from identity_svc.adapters.sql_errors import told_as
from identity_svc.domain.erasure import (
    Erasure,
    ErasureNotFound,
    ErasureOutOfOrder,
    Stage,
    Started,
)
from identity_svc.domain.people import PersonNotFound
from identity_svc.domain.places import Place
from svckit.sql import SqlFunctions

_erasure = TypeAdapter(Erasure)
_erasures = TypeAdapter(list[Erasure])
_started = TypeAdapter(Started)


class SqlErasureStore:
    """The ErasureStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def start(self, person_id: str, *, erasure_id: str) -> Started:
        row = await self._sql.call("start_erasure", erasure_id=erasure_id, person_id=person_id)
        if row is None:
            raise PersonNotFound(person_id)
        return _started.validate_python(row)

    async def record(
        self,
        erasure_id: str,
        stage: Stage,
        *,
        erased: Mapping[str, int],
        remaining: Mapping[str, int],
    ) -> Erasure:
        with told_as({"ZI027": lambda: ErasureOutOfOrder(erasure_id, stage)}):
            row = await self._sql.call(
                "record_erasure_step",
                erasure_id=erasure_id,
                stage=stage,
                erased=dict(erased),
                remaining=dict(remaining),
            )
        if row is None:
            raise ErasureNotFound(erasure_id=erasure_id)
        return _erasure.validate_python(row)

    async def get(self, erasure_id: str) -> Erasure:
        row = await self._sql.call("get_erasure", erasure_id=erasure_id, person_id=None)
        if row is None:
            raise ErasureNotFound(erasure_id=erasure_id)
        return _erasure.validate_python(row)

    async def of_person(self, person_id: str) -> Erasure:
        row = await self._sql.call("get_erasure", erasure_id=None, person_id=person_id)
        if row is None:
            raise ErasureNotFound(person_id=person_id)
        return _erasure.validate_python(row)

    async def list(
        self, *, running: bool | None, after: Place | None, limit: int
    ) -> Sequence[Erasure]:
        rows = await self._sql.call(
            "list_erasures",
            running=running,
            **arguments_of(after, "after_started_at", "after_erasure_id"),
            page_limit=limit,
        )
        return _erasures.validate_python(rows)

    async def count_running(self) -> int:
        return int(await self._sql.call("count_running_erasures"))
