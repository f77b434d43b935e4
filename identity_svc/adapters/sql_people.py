"""People and links in Postgres, through the SQL functions of the schema `identity`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from identity_svc.domain.people import (
    Account,
    EtagMismatch,
    Identity,
    Link,
    Linked,
    LinkNotFound,
    LinkPlace,
    LinkTaken,
    MetadataTooLarge,
    Person,
    PersonNotFound,
    Registered,
    Registration,
)
from svckit.errors import SqlError
from svckit.fields import METADATA_BYTES
from svckit.sql import SqlFunctions

_registered = TypeAdapter(Registered)
_identity = TypeAdapter(Identity)
_person = TypeAdapter(Person)
_linked = TypeAdapter(Linked)
_links = TypeAdapter(list[Link])


class SqlIdentityStore:
    """The IdentityStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def register(self, registrations: Sequence[Registration]) -> list[Registered]:
        outcomes = await self._sql.call(
            "register_persons", requests=[_request(registration) for registration in registrations]
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

    async def get(self, person_ids: Sequence[str]) -> list[Person | PersonNotFound]:
        outcomes = await self._sql.call("get_persons", person_ids=list(person_ids))
        return [
            _person.validate_python(outcome["ok"]) if "ok" in outcome else PersonNotFound(person_id)
            for person_id, outcome in zip(person_ids, outcomes, strict=True)
        ]

    async def update(
        self, person_id: str, patch: Mapping[str, Any], *, etag: str | None, new_etag: str
    ) -> Person:
        try:
            row = await self._sql.call(
                "update_person",
                person_id=person_id,
                patch=dict(patch),
                etag=etag,
                new_etag=new_etag,
                most_bytes=METADATA_BYTES,
            )
        except SqlError as error:
            match error.code:
                case "ZI001":
                    raise EtagMismatch(person_id) from error
                case "ZI002":
                    raise MetadataTooLarge(METADATA_BYTES) from error
            raise
        if row is None:
            raise PersonNotFound(person_id)
        return _person.validate_python(row)

    async def touch(self, person_ids: Sequence[str]) -> dict[str, float]:
        ages: dict[str, float] = await self._sql.call("touch_persons", person_ids=list(person_ids))
        return ages

    async def link(
        self, person_id: str, account: Account, *, verified: bool, link_id: str
    ) -> Linked:
        try:
            row = await self._sql.call(
                "link_identity",
                link_id=link_id,
                person_id=person_id,
                platform=account.platform,
                platform_id=account.platform_id,
                original_platform_id=account.original,
                verified=verified,
            )
        except SqlError as error:
            if error.code == "ZI003":
                raise LinkTaken(account) from error
            raise
        if row is None:
            raise PersonNotFound(person_id)
        return _linked.validate_python(row)

    async def links(self, person_id: str, *, after: LinkPlace | None, limit: int) -> list[Link]:
        rows = await self._sql.call(
            "list_links", person_id=person_id, **_place(after), page_limit=limit
        )
        if rows is None:
            raise PersonNotFound(person_id)
        return _links.validate_python(rows)

    async def confirm(self, link_ids: Sequence[str]) -> None:
        await self._sql.call("confirm_registrations", link_ids=list(link_ids))

    async def pending(
        self, *, created_before: datetime | None, after: LinkPlace | None, limit: int
    ) -> list[Link]:
        rows = await self._sql.call(
            "list_pending_registrations",
            created_before=created_before.isoformat() if created_before else None,
            **_place(after),
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


def _place(after: LinkPlace | None) -> dict[str, str | None]:
    return {
        "after_created_at": after.created_at.isoformat() if after else None,
        "after_link_id": after.link_id if after else None,
    }
