"""Takes away what events say: single ones, or everything about subjects."""

from event_svc import metrics
from event_svc.ports.redaction import RedactionStore
from event_svc.wire import redaction as wire
from event_svc.wire.subjects import to_subject_ids
from kith.event.v1 import event_service_pb2 as pb
from svckit import rpc

# Some tens of milliseconds for the store, and for whoever waits for the past's lock.
STEP_EVENTS = 500


class Redaction:
    """Redaction and erasure over their port."""

    def __init__(self, store: RedactionStore) -> None:
        self._store = store

    async def RedactEvents(
        self, request: pb.RedactEventsRequest, context: rpc.Context
    ) -> pb.RedactEventsResponse:
        event_ids = wire.to_event_ids(request.event_ids)
        redacted = await self._store.redact(event_ids, wire.to_reason(request.reason))
        metrics.SHREDDED.labels("redaction").inc(len(redacted))
        return pb.RedactEventsResponse(redacted_ids=redacted)

    async def EraseSubjects(
        self, request: pb.EraseSubjectsRequest, context: rpc.Context
    ) -> pb.EraseSubjectsResponse:
        subject_ids = to_subject_ids(request.subject_ids)
        await self._store.begin_erasure(subject_ids)
        erased, more = 0, True
        # As long as the caller waits; another call goes on where this one was cut off.
        while more:
            step = await self._store.erase_step(subject_ids, STEP_EVENTS)
            metrics.SHREDDED.labels("erasure").inc(step.erased)
            erased, more = erased + step.erased, step.more
        return pb.EraseSubjectsResponse(erased=erased, erased_in_all=step.erased_in_all)

    async def CountSubjects(
        self, request: pb.CountSubjectsRequest, context: rpc.Context
    ) -> pb.CountSubjectsResponse:
        remains = await self._store.count(to_subject_ids(request.subject_ids))
        return pb.CountSubjectsResponse(
            readable=remains.readable,
            total=remains.total,
            projection_values=remains.projection_values,
        )
