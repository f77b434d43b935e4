"""What documents need from a store: their records, their versions, and what is still to be done."""

from collections.abc import Sequence
from typing import Protocol

from knowledge_svc.domain.documents import (
    Document,
    DocumentBacklog,
    DocumentPlace,
    Kept,
    NewDocument,
    Piece,
    Reading,
    Selection,
)
from knowledge_svc.domain.extraction import Outline
from knowledge_svc.domain.items import Filter


class DocumentStore(Protocol):
    """The records of documents; a file is put between `begin` and `commit`."""

    async def begin(
        self, new: NewDocument, *, sha256: str, size: int, media_type: str, blob_key: str,
        request_id: str, grace_seconds: float,
    ) -> Document:  # fmt: skip
        """The record of an upload, made before its file.

        State `storing`: put the file under the record's own blob key, and commit within the grace;
        `deleting`: it goes just now, come back later; else it is there already, and where its
        file is not, put that and `restore`. Raises SubjectErased.
        """
        ...

    async def commit(self, document_id: str, *, request_id: str) -> Kept | None:
        """The file is there; None where the record was given up meanwhile.

        The highest version that is there is the latest from now on, and is to be read. Raises
        SubjectErased.
        """
        ...

    async def restore(self, document: Document) -> Document | None:
        """The file of a document that had lost it is there again; None where the document is gone.

        Where the loss was known, the latest version is read anew. Raises SubjectErased.
        """
        ...

    async def give_up(self, document_id: str, *, request_id: str) -> None:
        """An upload whose file is put ends without a commit.

        Once none is under way the record is not waited for, and is taken up as a deletion.
        """
        ...

    async def get(self, document_id: str) -> Document:
        """The document; raises DocumentNotFound."""
        ...

    async def page(
        self, chosen: Filter, selection: Selection, *, before: DocumentPlace | None, limit: int
    ) -> Sequence[Document]:
        """Documents that fit, newest first, from below a place on."""
        ...

    async def start_deletion(
        self, document_id: str, *, request_id: str, owner: str, lease_seconds: float
    ) -> Document | None:
        """First step: nobody sees it or its pieces any more, the version before it is the latest.

        Answers the document that this request deletes, to be finished by `owner` within the lease.
        """
        ...

    async def claim_deletions(
        self, owner: str, *, most: int, lease_seconds: float
    ) -> Sequence[Document]:
        """Take up deletions that are due, and uploads that were given up: those are deleted now."""
        ...

    async def count_pieces(self, document_id: str) -> int:
        """How many pieces there are still, those that the indexer is to remove included."""
        ...

    async def drop_pieces(self, most: int) -> int | None:
        """Give the indexer up to so many pieces that nobody is to see any more, to remove.

        Answers how many; None where there are none.
        """
        ...

    async def put_off_deletion(self, document: Document, *, seconds: float) -> None:
        """Leave a deletion for later."""
        ...

    async def forget(self, document: Document) -> None:
        """Last step of a deletion, after the file: the record."""
        ...

    async def request_reading(self, document_id: str) -> Document:
        """Have it read anew; an earlier version stays as it is.

        Raises DocumentNotFound, SubjectErased.
        """
        ...

    async def signing_key(self, proposed: str) -> str:
        """What signs links; where there is nothing yet, what is proposed, from now on."""
        ...


class ReadingQueue(Protocol):
    """Documents whose text is to be read; several readers may share it.

    A reading goes on while its document has the revision of the claim: what answers False then
    has written nothing.
    """

    async def claim(self, owner: str, *, most: int, lease_seconds: float) -> Sequence[Reading]:
        """Take up documents that are due, oldest first; they are due again when the lease ends."""
        ...

    async def renew(self, reading: Reading, *, lease_seconds: float) -> bool:
        """Hold on to it."""
        ...

    async def stage(self, reading: Reading, pieces: Sequence[Piece]) -> bool:
        """Lay pieces aside, at most some hundred at a time; nobody sees them yet."""
        ...

    async def finish(
        self, reading: Reading, outline: Outline, *, chunker: str | None, is_indexed: bool
    ) -> bool:
        """Show what was laid aside, all at once, in place of earlier versions and readings."""
        ...

    async def fail(self, reading: Reading, reason: str, detail: str) -> bool:
        """Give it up: another try would end the same way."""
        ...

    async def put_off(self, reading: Reading, *, seconds: float, blameless: bool) -> None:
        """Leave it for later; what is blameless does not count as a try."""
        ...

    async def backlog(self) -> DocumentBacklog:
        """What there is, and what waits."""
        ...
