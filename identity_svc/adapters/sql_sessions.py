"""Onboarding sessions in Postgres, through the SQL functions of the schema `identity`."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from identity_svc.adapters.sql_errors import told_as
from identity_svc.domain.people import MetadataTooLarge
from identity_svc.domain.sessions import (
    DAY_MILLISECONDS,
    Claimed,
    DataTooLarge,
    NewSession,
    Session,
    SessionClaimed,
    SessionConflict,
    SessionCreated,
    SessionEtagMismatch,
    SessionExpired,
    SessionNotFound,
)
from identity_svc.ports.sessions import SessionCounts
from svckit.fields import METADATA_BYTES
from svckit.sql import SqlFunctions

_created = TypeAdapter(SessionCreated)
_session = TypeAdapter(Session)
_claimed = TypeAdapter(Claimed)


class SqlSessionStore:
    """The SessionStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def create(self, session: NewSession, *, call_id: str) -> SessionCreated:
        row = await self._of_session(
            "create_session",
            session.session_id,
            data=dict(session.data),
            ttl_milliseconds=session.ttl_milliseconds or DAY_MILLISECONDS,
            body_hash=session.body_hash,
            call_id=call_id,
        )
        return _created.validate_python(row)

    async def get(self, session_id: str) -> Session:
        return _session.validate_python(await self._of_session("get_session", session_id))

    async def update(
        self,
        session_id: str,
        patch: Mapping[str, Any],
        *,
        ttl_milliseconds: int | None,
        etag: str | None,
        new_etag: str,
    ) -> Session:
        with told_as({"ZI002": lambda: DataTooLarge(METADATA_BYTES)}):
            row = await self._of_session(
                "update_session",
                session_id,
                patch=dict(patch),
                ttl_milliseconds=ttl_milliseconds,
                etag=etag,
                new_etag=new_etag,
                most_bytes=METADATA_BYTES,
            )
        return _session.validate_python(row)

    async def claim(self, session_id: str, person_id: str, *, new_etag: str) -> Claimed:
        with told_as({"ZI002": lambda: MetadataTooLarge(METADATA_BYTES)}):
            row = await self._of_session(
                "claim_session",
                session_id,
                person_id=person_id,
                new_etag=new_etag,
                most_bytes=METADATA_BYTES,
            )
        return _claimed.validate_python(row)

    async def sweep(self, *, limit: int) -> int:
        return int(await self._sql.call("sweep_sessions", page_limit=limit))

    async def count(self) -> SessionCounts:
        return SessionCounts(**await self._sql.call("count_sessions"))

    async def _of_session(self, function: str, session_id: str, **arguments: Any) -> Any:
        with told_as(
            {
                "ZI001": lambda: SessionEtagMismatch(session_id),
                "ZI008": lambda: SessionConflict(session_id),
                "ZI025": lambda: SessionExpired(session_id),
                "ZI026": lambda: SessionClaimed(session_id),
            }
        ):
            row = await self._sql.call(function, session_id=session_id, **arguments)
        if row is None:
            raise SessionNotFound(session_id)
        return row
