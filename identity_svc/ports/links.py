"""What identity needs from outside: a store of links."""

from typing import Protocol

from identity_svc.domain.links import Link, Linked, LinkPlace
from identity_svc.domain.people import Account


class LinkStore(Protocol):
    """Tenures of platform ids.

    A person may be named by the id of anybody merged into them; a link belongs to the id that
    it was made for, whoever that is now. Every method may be repeated with the same
    arguments. All raise Unavailable where the store cannot be reached.
    """

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
        """Give a person an account, as link `link_id` where it is not theirs already.

        Where somebody else holds it who was registered automatically, proof (`verified`)
        merges the person whom they are now into the one whom `person_id` is now, as merge
        `merge_id`. `verified` is only ever raised, and keeps the time and the method of the
        first proof. Raises PersonNotFound, LinkTaken where somebody else holds the account and
        keeps it, and TooManySubjects.
        """
        ...

    async def unlink(self, person_id: str, link_id: str) -> Link:
        """End a link of the person as they are now; one that has ended stays as it is.

        Raises PersonNotFound, and NoSuchLink where it is not theirs.
        """
        ...

    async def links(self, person_id: str, *, after: LinkPlace | None, limit: int) -> list[Link]:
        """Up to `limit` links of the person as they are now behind a place, oldest first.

        Ended ones are among them. Raises PersonNotFound.
        """
        ...
