"""The part of IdentityService that verifies links."""

from identity_svc import metrics
from identity_svc.cache import IdentityCache
from identity_svc.domain.verification import (
    VerificationExpired,
    VerificationFailed,
    VerificationThrottled,
)
from identity_svc.ports.verification import VerificationStore
from identity_svc.wire import links as links_wire
from identity_svc.wire import merges as merges_wire
from identity_svc.wire import verification as wire
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import rpc


class Verification:
    """Codes are made and hashed here; the store gets hashes."""

    def __init__(self, store: VerificationStore, cache: IdentityCache) -> None:
        self._store = store
        self._cache = cache

    async def StartLinkVerification(
        self, request: pb.StartLinkVerificationRequest, context: rpc.Context
    ) -> pb.StartLinkVerificationResponse:
        verification = wire.to_verification(request)
        try:
            started = await self._store.start(verification)
        except VerificationThrottled:
            metrics.VERIFICATIONS.labels("throttled").inc()
            raise
        metrics.VERIFICATIONS.labels("started").inc()
        return wire.from_started(verification, started)

    async def ConfirmLinkVerification(
        self, request: pb.ConfirmLinkVerificationRequest, context: rpc.Context
    ) -> pb.ConfirmLinkVerificationResponse:
        attempt = wire.to_attempt(request)
        try:
            linked = await self._store.confirm(attempt)
        except VerificationFailed:
            metrics.VERIFICATIONS.labels("failed").inc()
            raise
        except VerificationExpired:
            metrics.VERIFICATIONS.labels("expired").inc()
            raise
        self._cache.forget(linked.changed_ids)
        metrics.VERIFICATIONS.labels("confirmed").inc()
        if linked.merge:
            metrics.MERGES.labels("linked").inc()
        return pb.ConfirmLinkVerificationResponse(
            link=links_wire.from_link(linked.link),
            created=linked.created,
            merge=merges_wire.from_merge(linked.merge) if linked.merge else None,
        )
