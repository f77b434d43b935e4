"""People and their accounts in Postgres, through the SQL functions of the schema `identity`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from identity_svc.adapters.sql_errors import told_as
from identity_svc.domain.consent import TooManyPurposes
from identity_svc.domain.links import Link, LinkPlace
from identity_svc.domain.people import (
    Account,
    Created,
    Creation,
    EtagMismatch,
    Identity,
    LinkNotFound,
    MetadataTooLarge,
    Person,
    PersonConflict,
    PersonFilter,
    PersonNotFound,
    PersonPlace,
    Registered,
    Registration,
)
from svckit.fields import METADATA_BYTES
from svckit.sql import SqlFunctions

_registered = TypeAdapter(Registered)
_identity = TypeAdapter(Identity)
_person = TypeAdapter(Person)
_persons = TypeAdapter(list[Person])
_created = TypeAdapter(Created)
_links = TypeAdapter(list[Link])


class SqlIdentityStore:
    """The IdentityStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def register(self, registrations: Sequence[Registration]) -> list[Registered]:
        with told_as({"ZI009": partial(TooManyPurposes, "consent.purposes")}):
            outcomes = await self._sql.call(
                "register_persons",
                requests=[_request(registration) for registration in registrations],
            )
        return [_registered.validate_python(outcome["ok"]) for outcome in outcomes]

    async def resolve(self, accounts: Sequence[Account]) -> list[Identity | LinkNotFound]:
        outcomes = await self._sql.call(
            "resolve_identities",
            requests=[
                {"platform": account.platform, "platform_id": account.platform_id}
                for account in accounts
            ],
        )
        return [
            _identity.validate_python(outcome["ok"]) if "ok" in outcome else LinkNotFound(account)
            for account, outcome in zip(accounts, outcomes, strict=True)
        ]

    async def create(self, creation: Creation, *, etag: str) -> Created:
        with told_as({"ZI008": lambda: PersonConflict(creation.person_id)}):
            row = await self._sql.call(
                "create_person",
                person_id=creation.person_id,
                body_hash=creation.body_hash,
                metadata=dict(creation.metadata),
                consent=dict(creation.consent),
                etag=etag,
            )
        return _created.validate_python(row)

    async def get(
        self, person_ids: Sequence[str], *, whole: bool = True
    ) -> list[Person | PersonNotFound]:
        outcomes = await self._sql.call("get_persons", person_ids=list(person_ids), whole=whole)
        return [
            _person.validate_python(outcome["ok"]) if "ok" in outcome else PersonNotFound(person_id)
            for person_id, outcome in zip(person_ids, outcomes, strict=True)
        ]

    async def find(
        self, wanted: PersonFilter, *, after: PersonPlace | None, limit: int
    ) -> list[Person]:
        rows = await self._sql.call(
            "list_persons",
            platform=wanted.platform,
            metadata=None if wanted.metadata is None else dict(wanted.metadata),
            seen_from=wanted.seen_from.isoformat() if wanted.seen_from else None,
            seen_to=wanted.seen_to.isoformat() if wanted.seen_to else None,
            after_created_at=after.created_at.isoformat() if after else None,
            after_person_id=after.person_id if after else None,
            page_limit=limit,
        )
        return _persons.validate_python(rows)

    async def update(
        self, person_id: str, patch: Mapping[str, Any], *, etag: str | None, new_etag: str
    ) -> Person:
        with told_as(
            {
                "ZI001": lambda: EtagMismatch(person_id),
                "ZI002": lambda: MetadataTooLarge(METADATA_BYTES),
            }
        ):
            row = await self._sql.call(
                "update_person",
                person_id=person_id,
                patch=dict(patch),
                etag=etag,
                new_etag=new_etag,
                most_bytes=METADATA_BYTES,
            )
        if row is None:
            raise PersonNotFound(person_id)
        return _person.validate_python(row)

    async def touch(self, person_ids: Sequence[str]) -> dict[str, float]:
        ages: dict[str, float] = await self._sql.call("touch_persons", person_ids=list(person_ids))
        return ages

    async def confirm(self, link_ids: Sequence[str]) -> None:
        await self._sql.call("confirm_registrations", link_ids=list(link_ids))

    async def pending(
        self, *, created_before: datetime | None, after: LinkPlace | None, limit: int
    ) -> list[Link]:
        rows = await self._sql.call(
            "list_pending_registrations",
            created_before=created_before.isoformat() if created_before else None,
            after_created_at=after.created_at.isoformat() if after else None,
            after_link_id=after.link_id if after else None,
            page_limit=limit,
        )
        return _links.validate_python(rows)


def _request(registration: Registration) -> dict[str, Any]:
    return {
        "person_id": registration.person_id,
        "link_id": registration.link_id,
        "platform": registration.account.platform,
        "platform_id": registration.account.platform_id,
        "original_platform_id": registration.account.original,
        "metadata": registration.metadata,
        "consent": registration.consent,
    }
