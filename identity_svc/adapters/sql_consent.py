"""Consent in Postgres, through the SQL functions of the schema `identity`."""

from collections.abc import Mapping
from functools import partial

from pydantic import TypeAdapter

from identity_svc.adapters.sql_errors import told_as
from identity_svc.domain.consent import (
    Consent,
    ConsentChange,
    ConsentPlace,
    State,
    TooManyPurposes,
)
from identity_svc.domain.people import PersonNotFound
from svckit.sql import SqlFunctions

_consent = TypeAdapter(Consent)
_changes = TypeAdapter(list[ConsentChange])


class SqlConsentStore:
    """The ConsentStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def set(self, person_id: str, purposes: Mapping[str, State], *, source: str) -> Consent:
        with told_as({"ZI009": partial(TooManyPurposes, "purposes")}):
            row = await self._sql.call(
                "set_consent", person_id=person_id, purposes=dict(purposes), source=source
            )
        return _consent.validate_python(row)

    async def consent(self, person_id: str) -> Consent:
        row = await self._sql.call("get_consent", person_id=person_id)
        if row is None:
            raise PersonNotFound(person_id)
        return _consent.validate_python(row)

    async def history(
        self, person_id: str, *, purpose: str | None, before: ConsentPlace | None, limit: int
    ) -> list[ConsentChange]:
        rows = await self._sql.call(
            "list_consent_history",
            person_id=person_id,
            purpose=purpose,
            before_changed_at=before.changed_at.isoformat() if before else None,
            before_version=before.version if before else None,
            before_person_id=before.person_id if before else None,
            before_purpose=before.purpose if before else None,
            page_limit=limit,
        )
        if rows is None:
            raise PersonNotFound(person_id)
        return _changes.validate_python(rows)
