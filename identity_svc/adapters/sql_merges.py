"""Merges in Postgres, through the SQL functions of the schema `identity`."""

from pydantic import TypeAdapter

from identity_svc.adapters.sql_errors import told_as
from identity_svc.domain.merges import Merged, MergeNotFound, NotMerged, TooManySubjects, Unmerged
from svckit.sql import SqlFunctions

_merged = TypeAdapter(Merged)
_unmerged = TypeAdapter(Unmerged)


class SqlMergeStore:
    """The MergeStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def merge(
        self, source_person_id: str, target_person_id: str, *, reason: str, merge_id: str
    ) -> Merged:
        with told_as({"ZI005": lambda: TooManySubjects(target_person_id)}):
            row = await self._sql.call(
                "merge_persons",
                merge_id=merge_id,
                source_person_id=source_person_id,
                target_person_id=target_person_id,
                reason=reason,
            )
        return _merged.validate_python(row)

    async def unmerge(
        self, *, merge_id: str | None, source_person_id: str | None, unmerge_id: str
    ) -> Unmerged:
        with told_as(
            {
                "ZI006": lambda: MergeNotFound(str(merge_id)),
                "ZI007": lambda: NotMerged(str(source_person_id)),
            }
        ):
            row = await self._sql.call(
                "unmerge_persons",
                merge_id=merge_id,
                source_person_id=source_person_id,
                unmerge_id=unmerge_id,
            )
        return _unmerged.validate_python(row)
