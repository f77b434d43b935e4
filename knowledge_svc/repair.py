"""A census that mends what it finds."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing

from knowledge_svc import metrics
from knowledge_svc.census import Census, note
from knowledge_svc.domain.integrity import (
    Care,
    Chosen,
    Finding,
    Kind,
    Progress,
    Repair,
    Stage,
    Summary,
)
from knowledge_svc.domain.items import Space
from knowledge_svc.mending import DocumentMender, FileMender, ItemMender, Mender, VectorMender
from knowledge_svc.ports.blobs import BlobStore
from knowledge_svc.ports.integrity import RepairStore
from knowledge_svc.ports.items import VectorIndex

_TOGETHER = 500


class Repairs:
    """As many repairs at once as may be: every step bears being taken twice, and cut short.

    `wake` is called when there is something new to index.
    """

    def __init__(
        self,
        census: Census,
        store: RepairStore,
        index: VectorIndex,
        blobs: BlobStore,
        care: Care,
        wake: Callable[[], None],
    ) -> None:
        self._census = census
        self._store = store
        self._index = index
        self._blobs = blobs
        self._care = care
        self._wake = wake

    async def repair(
        self, space: Space, chosen: Chosen, *, kinds: Collection[Kind], dry_run: bool
    ) -> AsyncGenerator[Repair | Progress | Summary, None]:
        """What is done about findings of these kinds, or would be; and a summary at the end."""
        summary = Summary()
        menders = self._menders(space, chosen, kinds)
        for survey in self._census.surveys(space, chosen):
            mender = menders[survey.stage]
            async with (
                aclosing(self._census.walk(survey)) as found,
                aclosing(self._mended(mender, found, kinds, dry_run)) as parts,
            ):
                async for part in parts:
                    summary.count(part)
                    yield part
        if len(kinds) == len(Kind):
            note(summary, chosen)
        yield summary

    def _menders(
        self, space: Space, chosen: Chosen, kinds: Collection[Kind]
    ) -> dict[Stage, Mender]:
        return {
            "items": ItemMender(self._store),
            "vectors": VectorMender(
                self._store,
                self._index,
                space,
                chosen,
                self._care,
                is_told_of_all=Kind.VECTOR_ORPHANED in kinds,
            ),
            "documents": DocumentMender(self._store, self._blobs),
            "files": FileMender(self._store, self._blobs),
        }

    async def _mended(
        self,
        mender: Mender,
        found: AsyncIterator[Finding | Progress],
        kinds: Collection[Kind],
        dry_run: bool,
    ) -> AsyncGenerator[Repair | Progress, None]:
        """A page's findings are mended together, or so many as come at once."""
        batch: list[Finding] = []
        if not dry_run:
            await mender.begin()
        async for part in found:
            if isinstance(part, Finding):
                if part.kind in kinds:
                    batch.append(part)
                if len(batch) < _TOGETHER:
                    continue
            for repair in await self._done(mender, batch, dry_run):
                yield repair
            batch.clear()
            if isinstance(part, Progress):
                yield part
        for repair in await self._done(mender, batch, dry_run):
            yield repair
        if not dry_run:
            for repair in self._counted(await mender.end()):
                yield repair

    async def _done(
        self, mender: Mender, findings: Sequence[Finding], dry_run: bool
    ) -> Sequence[Repair]:
        if not findings:
            return ()
        if dry_run:
            return await mender.preview(findings)
        return self._counted(await mender.mend(findings))

    def _counted(self, repairs: Sequence[Repair]) -> Sequence[Repair]:
        for repair in repairs:
            metrics.REPAIRS.labels(repair.action.value).inc()
        if repairs:
            self._wake()
        return repairs
