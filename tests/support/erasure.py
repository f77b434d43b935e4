"""Erasures that are started, or done."""

from identity_svc.domain.erasure import Erasure, Stage
from identity_svc.ports.erasure import ErasureStore
from svckit import ids

STAGES: tuple[Stage, ...] = ("knowledge", "events", "identity")


async def started(store: ErasureStore, person_id: str) -> Erasure:
    """An erasure without a step, or the one that is there."""
    return (await store.start(person_id, erasure_id=ids.new())).erasure


async def finished(store: ErasureStore, person_id: str) -> Erasure:
    """An erasure with all of its steps."""
    erasure = await started(store, person_id)
    for stage in STAGES:
        erasure = await store.record(erasure.erasure_id, stage, erased={}, remaining={})
    return erasure
