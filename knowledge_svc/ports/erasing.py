"""What erasing and exporting need from the store, and what they may rely on."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from knowledge_svc.domain.documents import Document
from knowledge_svc.domain.erasing import DoomedDocuments, DoomedItems
from knowledge_svc.domain.items import Item, Space
from knowledge_svc.domain.memories import Memory


class ErasureStore(Protocol):
    """Takes away what is kept of subjects, in steps.

    Each step is a transaction, may be repeated and may race; steps do nothing for subjects that
    were not closed. An `owner` holds what it took up for its lease; then it is anybody's.
    """

    async def close(self, subject_ids: Sequence[str]) -> None:
        """Refuse to keep anything about the subjects from now on.

        What was ever written about them is committed when this returns. Raises Unavailable where
        writers take too long.
        """
        ...

    async def take_items(
        self, subject_ids: Sequence[str], *, owner: str, lease_seconds: float, most: int
    ) -> DoomedItems:
        """Hide some items for good; their vectors go next, then `ItemStore.finish_deletions`."""
        ...

    async def erase_memories(self, subject_ids: Sequence[str], *, most: int) -> bool:
        """Delete some memories and versions; whether there are more."""
        ...

    async def hide_documents(self, subject_ids: Sequence[str], *, most: int) -> bool:
        """Have nobody see some documents and their pieces any more; whether there may be more.

        They are deletions from now on, which whoever finishes those takes up later.
        """
        ...

    async def take_documents(
        self, subject_ids: Sequence[str], *, owner: str, lease_seconds: float, most: int
    ) -> DoomedDocuments:
        """Take up some of the hidden documents; their files go next, then `forget_documents`.

        Behind `hide_documents` and `take_items`. An upload that is under way counts as held, and
        so does what somebody else is deleting.
        """
        ...

    async def forget_documents(self, ids: Sequence[str], *, owner: str) -> None:
        """Last step, after the files are gone: delete those of the rows that `owner` took."""
        ...

    async def unname(self, subject_ids: Sequence[str], *, most: int) -> bool:
        """Take the subjects' names from some of what is somebody else's; whether there is more."""
        ...

    async def erased_in_all(self, subject_ids: Sequence[str]) -> Mapping[str, int]:
        """How much was erased of the subjects so far, by kind; a kind may be missing."""
        ...

    async def count(self, subject_ids: Sequence[str]) -> Mapping[str, int]:
        """How many rows are about the subjects or name them, hidden ones too, by kind."""
        ...

    async def spaces(self) -> Sequence[Space]:
        """Every space that may hold vectors, serving or not."""
        ...


class ExportStore(Protocol):
    """What is there about subjects, in keyset pages."""

    async def items(
        self, subject_ids: Sequence[str], *, after: Item | None, limit: int
    ) -> Sequence[Item]:
        """Items that are not derived, oldest first, from behind one on."""
        ...

    async def memories(
        self, subject_ids: Sequence[str], *, after: Memory | None, limit: int
    ) -> Sequence[Memory]:
        """Memories by id, each one's versions oldest first, from behind one on."""
        ...

    async def documents(
        self, subject_ids: Sequence[str], *, after: Document | None, limit: int
    ) -> Sequence[Document]:
        """Documents by id, from behind one on."""
        ...
