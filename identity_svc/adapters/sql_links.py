"""Links in Postgres, through the SQL functions of the schema `identity`."""

from pydantic import TypeAdapter

from identity_svc.adapters.sql_errors import told_as
from identity_svc.domain.links import Link, Linked, LinkPlace, LinkTaken, NoSuchLink
from identity_svc.domain.merges import TooManySubjects
from identity_svc.domain.people import Account, PersonNotFound
from svckit.sql import SqlFunctions

_linked = TypeAdapter(Linked)
_link = TypeAdapter(Link)
_links = TypeAdapter(list[Link])


class SqlLinkStore:
    """The LinkStore over either transport."""

    def __init__(self, sql: SqlFunctions) -> None:
        self._sql = sql

    async def link(
        self,
        person_id: str,
        account: Account,
        *,
        verified: bool,
        verification_method: str = "",
        link_id: str,
        merge_id: str,
    ) -> Linked:
        with told_as(
            {"ZI003": lambda: LinkTaken(account), "ZI005": lambda: TooManySubjects(person_id)}
        ):
            row = await self._sql.call(
                "link_identity",
                link_id=link_id,
                person_id=person_id,
                platform=account.platform,
                platform_id=account.platform_id,
                original_platform_id=account.original,
                verified=verified,
                verification_method=verification_method,
                merge_id=merge_id,
            )
        if row is None:
            raise PersonNotFound(person_id)
        return _linked.validate_python(row)

    async def unlink(self, person_id: str, link_id: str) -> Link:
        with told_as():
            row = await self._sql.call("unlink_identity", person_id=person_id, link_id=link_id)
        if row is None:
            raise NoSuchLink(link_id)
        return _link.validate_python(row)

    async def links(self, person_id: str, *, after: LinkPlace | None, limit: int) -> list[Link]:
        rows = await self._sql.call(
            "list_links",
            person_id=person_id,
            after_created_at=after.created_at.isoformat() if after else None,
            after_link_id=after.link_id if after else None,
            page_limit=limit,
        )
        if rows is None:
            raise PersonNotFound(person_id)
        return _links.validate_python(rows)
