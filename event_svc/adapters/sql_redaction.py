"""Redaction and erasure in Postgres, through the SQL functions of the schema `event`."""

from collections.abc import Sequence

from event_svc.domain.redaction import ErasureStep, Remains
from svckit.sql import SqlFunctions


class SqlRedactionStore:
    """The RedactionStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def redact(self, event_ids: Sequence[str], reason: str) -> Sequence[str]:
        redacted: list[str] = await self._sql.call(
            "redact_events", event_ids=list(event_ids), reason=reason
        )
        return redacted

    async def begin_erasure(self, subject_ids: Sequence[str]) -> int:
        return int(await self._sql.call("begin_erasure", subject_ids=list(subject_ids)))

    async def erase_step(self, subject_ids: Sequence[str], most_events: int) -> ErasureStep:
        return ErasureStep(
            **await self._sql.call(
                "erase_step", subject_ids=list(subject_ids), most_events=most_events
            )
        )

    async def count(self, subject_ids: Sequence[str]) -> Remains:
        return Remains(**await self._sql.call("count_subjects", subject_ids=list(subject_ids)))
