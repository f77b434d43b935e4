"""IntegrityService: parse, walk, render."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager

from kith.knowledge.v1 import integrity_service_pb2 as pb
from knowledge_svc.census import Census
from knowledge_svc.domain.items import Space
from knowledge_svc.ground_truth import GroundTruth
from knowledge_svc.repair import Repairs
from knowledge_svc.spaces import Spaces
from knowledge_svc.wire import integrity as wire
from svckit import fields, rpc
from svckit.errors import ResourceExhausted

# Each walk reads through all three stores.
_MOST_WALKS = 4


class Integrity:
    """Walks through the stores, as fast as their callers take what they tell."""

    def __init__(
        self,
        census: Census,
        repairs: Repairs,
        ground_truth: Callable[[Space], GroundTruth],
        spaces: Spaces,
    ) -> None:
        self._census = census
        self._repairs = repairs
        self._ground_truth = ground_truth
        self._spaces = spaces
        self._walks = 0

    async def VerifyIntegrity(
        self, request: pb.VerifyIntegrityRequest, context: rpc.Context
    ) -> AsyncIterator[pb.VerifyIntegrityResponse]:
        chosen = wire.to_chosen(request)
        with self._one_walk():
            space = await self._spaces.serving_space()
            async with aclosing(self._census.verify(space, chosen)) as parts:
                async for part in parts:
                    yield wire.from_verified(part)

    async def RepairIntegrity(
        self, request: pb.RepairIntegrityRequest, context: rpc.Context
    ) -> AsyncIterator[pb.RepairIntegrityResponse]:
        chosen = wire.to_chosen(request.census, "census.")
        kinds = wire.to_kinds(request.kinds)
        with self._one_walk():
            space = await self._spaces.serving_space()
            repair = self._repairs.repair(space, chosen, kinds=kinds, dry_run=request.dry_run)
            async with aclosing(repair) as parts:
                async for part in parts:
                    yield wire.from_repaired(part)

    async def GetGroundTruth(
        self, request: pb.GetGroundTruthRequest, context: rpc.Context
    ) -> pb.GetGroundTruthResponse:
        identifier = fields.uuid(request.id, "id")
        truths = self._ground_truth(await self._spaces.serving_space())
        return wire.from_truth(await truths.of(identifier, wire.GRACE_SECONDS))

    @contextmanager
    def _one_walk(self) -> Iterator[None]:
        if self._walks >= _MOST_WALKS:
            raise ResourceExhausted(f"{_MOST_WALKS} walks are under way", retry_after=5.0)
        self._walks += 1
        try:
            yield
        finally:
            self._walks -= 1
