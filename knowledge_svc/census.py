"""A census of the three stores: all ways through them, and what came of it."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from knowledge_svc import metrics
from knowledge_svc.domain.integrity import (
    Care,
    Chosen,
    Finding,
    Kind,
    Progress,
    Summary,
)
from knowledge_svc.domain.items import Space
from knowledge_svc.ports.blobs import BlobStore
from knowledge_svc.ports.integrity import IntegrityStore
from knowledge_svc.ports.items import VectorIndex
from knowledge_svc.second_look import SecondLook
from knowledge_svc.surveys import DocumentSurvey, FileSurvey, ItemSurvey, Survey, VectorSurvey


class Census:
    """Walks through the stores as often as it is asked to, at the caller's pace."""

    def __init__(
        self, store: IntegrityStore, index: VectorIndex, blobs: BlobStore, care: Care
    ) -> None:
        self._store = store
        self._index = index
        self._blobs = blobs
        self._care = care

    async def verify(
        self, space: Space, chosen: Chosen
    ) -> AsyncGenerator[Finding | Progress | Summary, None]:
        """All that does not fit, and a summary at the end."""
        summary = Summary()
        for survey in self.surveys(space, chosen):
            async with aclosing(self.walk(survey)) as parts:
                async for part in parts:
                    summary.count(part)
                    yield part
        note(summary, chosen)
        yield summary

    def surveys(self, space: Space, chosen: Chosen) -> Sequence[Survey[Any]]:
        """The ways through the stores, in order. Orphans stand on no shelf."""
        items = ItemSurvey(self._store, self._index, space, chosen)
        documents = DocumentSurvey(self._store, self._blobs, chosen)
        if chosen.namespaces:
            return [items, documents]
        vectors = VectorSurvey(self._store, self._index, space)
        return [items, vectors, documents, FileSurvey(self._store, self._blobs, chosen)]

    async def walk(self, survey: Survey[Any]) -> AsyncGenerator[Finding | Progress, None]:
        """What one of them finds; after each page, how far it is."""
        again = SecondLook(
            survey.again, seconds=self._care.settle_seconds, most=self._care.most_waiting
        )
        total, looked_at, after = await survey.total(), 0, None
        while True:
            page = await survey.page(after)
            again.add(page.suspects)
            looked_at += page.looked_at
            async for finding in again.ripe():
                yield finding
            yield Progress(survey.stage, looked_at, max(total, looked_at) if total else 0)
            after = page.after
            if after is None:
                break
        async for finding in again.rest():
            yield finding


def note(summary: Summary, chosen: Chosen) -> None:
    """Have metrics tell of a walk through everything."""
    if chosen.namespaces:
        return
    for kind in Kind:
        metrics.FINDINGS.labels(kind.value).set(summary.findings[kind.value])
    metrics.CENSUS_AT.set(time.time())
