"""Link verifications in Postgres, through the SQL functions of the schema `identity`."""

from pydantic import TypeAdapter

from identity_svc.adapters.sql_errors import told_as
from identity_svc.domain.links import Linked, LinkTaken
from identity_svc.domain.merges import TooManySubjects
from identity_svc.domain.people import Account
from identity_svc.domain.verification import (
    Attempt,
    NewVerification,
    VerificationExpired,
    VerificationFailed,
    VerificationNotFound,
    VerificationStarted,
    VerificationThrottled,
)
from svckit.sql import SqlFunctions

_started = TypeAdapter(VerificationStarted)
_linked = TypeAdapter(Linked)


class SqlVerificationStore:
    """The VerificationStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def start(self, verification: NewVerification) -> VerificationStarted:
        with told_as({"ZI021": VerificationThrottled}):
            row = await self._sql.call(
                "start_link_verification",
                verification_id=verification.verification_id,
                person_id=verification.person_id,
                platform=verification.account.platform,
                platform_id=verification.account.platform_id,
                original_platform_id=verification.account.original,
                code_hash=verification.code_hash,
            )
        return _started.validate_python(row)

    async def confirm(self, attempt: Attempt) -> Linked:
        with told_as({"ZI005": TooManySubjects}):
            outcome = await self._sql.call(
                "confirm_link_verification",
                verification_id=attempt.verification_id,
                code_hash=attempt.code_hash,
                link_id=attempt.link_id,
            )
        match outcome:
            case None:
                raise VerificationNotFound(attempt.verification_id)
            case {"ok": linked}:
                return _linked.validate_python(linked)
            case {"error": {"code": "VERIFICATION_FAILED", "tries_left": tries_left}}:
                raise VerificationFailed(attempt.verification_id, tries_left)
            case {"error": {"code": "LINK_TAKEN", "account": account}}:
                raise LinkTaken(Account(**account))
            case _:
                raise VerificationExpired(attempt.verification_id)

    async def sweep(self, *, limit: int) -> int:
        return int(await self._sql.call("sweep_verifications", page_limit=limit))
