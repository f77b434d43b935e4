"""What a census and its repairs need of the rows."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from knowledge_svc.domain.blobs import Blob
from knowledge_svc.domain.integrity import (
    DocumentLook,
    DocumentPage,
    Finding,
    ItemLook,
    ItemPage,
    Rows,
    Stranger,
)
from knowledge_svc.domain.items import Write


class IntegrityStore(Protocol):
    """The rows as a census looks at them; every call is short, and reads pages by key."""

    async def items(
        self, *, after: str | None, limit: int, namespaces: Sequence[str] | None
    ) -> ItemPage:
        """Those of the next `limit` items by id that stand on the shelves."""
        ...

    async def items_again(self, ids: Sequence[str]) -> Mapping[str, ItemLook]:
        """Those of the items that are there."""
        ...

    async def strangers(self, ids: Sequence[str]) -> Sequence[Stranger]:
        """Those of the ids, all UUIDs, that no row has, not even one under deletion."""
        ...

    async def documents(
        self, *, after: str | None, limit: int, namespaces: Sequence[str] | None
    ) -> DocumentPage:
        """Those of the next `limit` documents by id that stand on the shelves."""
        ...

    async def documents_again(self, ids: Sequence[str]) -> Mapping[str, DocumentLook]:
        """Those of the documents that are there."""
        ...

    async def strange_files(self, keys: Sequence[str]) -> Sequence[str]:
        """Those of the keys, in order, under which no document has its file."""
        ...

    async def totals(self) -> tuple[int, int]:
        """About how many items and documents there are; 0 where nobody knows."""
        ...

    async def rows(self, identifier: str) -> Rows:
        """What there is of an item or a document."""
        ...

    async def pieces(self, document_id: str, *, after: str | None, limit: int) -> Sequence[str]:
        """Ids of items that are pieces of a document, in order, above `after`."""
        ...


class RepairStore(Protocol):
    """What mends rows. Each is judged again in the transaction that mends it, so a write since
    is never overruled; repeating a call changes nothing. Answers come in order.
    """

    async def requeue(self, writes: Sequence[Write]) -> list[bool]:
        """Have items that still are of these writes indexed anew; whether each waits now."""
        ...

    async def resume_deletions(self, ids: Sequence[str]) -> list[bool]:
        """Have the queue go on with deletions of items; whether each is still under way."""
        ...

    async def requeue_documents(self, findings: Sequence[Finding]) -> list[bool]:
        """Have documents taken up anew that are still as they were found; whether each waits."""
        ...

    async def mark_lost(self, findings: Sequence[Finding]) -> list[bool]:
        """Say that originals are lost, of documents that are still as found; whether each is."""
        ...

    async def note_suspects(self, space: str, ids: Sequence[str]) -> Mapping[str, float]:
        """Note that vectors have no item; since how many seconds that is known of each."""
        ...

    async def known_suspects(self, space: str, ids: Sequence[str]) -> Mapping[str, float]:
        """The same without a note, of those that are noted."""
        ...

    async def condemn(self, space: str, ids: Sequence[str], *, grace_seconds: int) -> list[str]:
        """First step of removing vectors: those that no row has, and that were deleted, or are
        suspects for longer than the grace period.
        """
        ...

    async def settle(self, space: str, ids: Sequence[str] | None) -> int:
        """Last step: have items indexed again that came in the very moment; how many those were.

        None settles what repairs have left that died.
        """
        ...

    async def forget_suspects(self, space: str, *, unseen_seconds: int) -> None:
        """Forget those that were not noted for so long."""
        ...

    async def adopt_files(
        self, files: Sequence[Blob], *, owner: str, lease_seconds: float
    ) -> list[str]:
        """First step of removing files that no document has: nobody can upload under their keys.

        Answers the keys of files that `owner` is to remove, among them what repairs have left
        that died.
        """
        ...

    async def forget_files(self, keys: Sequence[str], *, owner: str) -> None:
        """Last step: the files are gone."""
        ...
