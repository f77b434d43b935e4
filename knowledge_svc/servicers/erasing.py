"""Takes away, counts and hands out everything that is kept of subjects."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.erasing import Erasing
from knowledge_svc.exporting import Exporting
from knowledge_svc.wire import erasing as wire
from svckit import rpc


class Erasure:
    """Erasure and export over their use cases."""

    def __init__(self, erasing: Erasing, exporting: Exporting) -> None:
        self._erasing = erasing
        self._exporting = exporting

    async def EraseSubjects(
        self, request: pb.EraseSubjectsRequest, context: rpc.Context
    ) -> pb.EraseSubjectsResponse:
        # As long as the caller waits; another call goes on where this one was cut off.
        erased = await self._erasing.erase(wire.to_subject_ids(request.subject_ids))
        return pb.EraseSubjectsResponse(erased_in_all=erased)

    async def CountSubjects(
        self, request: pb.CountSubjectsRequest, context: rpc.Context
    ) -> pb.CountSubjectsResponse:
        remaining = await self._erasing.count(wire.to_subject_ids(request.subject_ids))
        return pb.CountSubjectsResponse(remaining=remaining)

    async def ExportSubjects(
        self, request: pb.ExportSubjectsRequest, context: rpc.Context
    ) -> AsyncIterator[pb.ExportSubjectsResponse]:
        parts = self._exporting.export(wire.to_subject_ids(request.subject_ids))
        async with aclosing(parts):  # type: ignore[type-var]
            async for part in parts:
                yield wire.from_part(part)
