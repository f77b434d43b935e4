"""Merges: parse, ask the store, render."""

from identity_svc import metrics
from identity_svc.cache import IdentityCache
from identity_svc.ports.merges import MergeStore
from identity_svc.wire import merges as wire
from identity_svc.wire.people import from_person
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import ids, rpc


class Merges:
    """People who turned out to be one, and those who did not."""

    def __init__(self, store: MergeStore, cache: IdentityCache) -> None:
        self._store = store
        self._cache = cache

    async def MergePersons(
        self, request: pb.MergePersonsRequest, context: rpc.Context
    ) -> pb.MergePersonsResponse:
        source, target = wire.to_two(request)
        merged = await self._store.merge(
            source, target, reason=wire.to_reason(request), merge_id=ids.new()
        )
        self._cache.forget(merged.merge.person_ids)
        if merged.merged:
            metrics.MERGES.labels("merged").inc()
        return pb.MergePersonsResponse(
            person=from_person(merged.person),
            merged=merged.merged,
            merge=wire.from_merge(merged.merge),
        )

    async def UnmergePersons(
        self, request: pb.UnmergePersonsRequest, context: rpc.Context
    ) -> pb.UnmergePersonsResponse:
        merge_id, source = wire.to_merge(request)
        unmerged = await self._store.unmerge(
            merge_id=merge_id, source_person_id=source, unmerge_id=ids.new()
        )
        self._cache.forget([unmerged.source.person_id, unmerged.target.person_id])
        if unmerged.unmerged:
            metrics.MERGES.labels("unmerged").inc()
        return pb.UnmergePersonsResponse(
            merge=wire.from_merge(unmerged.merge),
            source=from_person(unmerged.source),
            target=from_person(unmerged.target),
        )
