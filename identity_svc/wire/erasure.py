"""The contract's messages on erasures to the domain, checked on the way, and back."""

from collections.abc import Mapping

from identity_svc.domain.erasure import Erasure, Stage, Step
from kith.identity.v1 import erasure_pb2
from kith.identity.v1 import identity_service_pb2 as pb
from svckit import fields
from svckit.errors import InvalidRequest

MOST_KINDS = 32

_STAGES: Mapping[int, Stage] = {
    erasure_pb2.ERASURE_STAGE_KNOWLEDGE: "knowledge",
    erasure_pb2.ERASURE_STAGE_EVENTS: "events",
    erasure_pb2.ERASURE_STAGE_IDENTITY: "identity",
}
_STAGE_NUMBERS = {
    "knowledge": erasure_pb2.ERASURE_STAGE_KNOWLEDGE,
    "events": erasure_pb2.ERASURE_STAGE_EVENTS,
    "identity": erasure_pb2.ERASURE_STAGE_IDENTITY,
}
_RUNNING: Mapping[int, bool | None] = {
    erasure_pb2.ERASURE_STATE_UNSPECIFIED: None,
    erasure_pb2.ERASURE_STATE_RUNNING: True,
    erasure_pb2.ERASURE_STATE_SUCCEEDED: False,
}


def to_stage(request: pb.RecordErasureStepRequest) -> Stage:
    """The stage that is done."""
    if request.stage not in _STAGES:
        raise InvalidRequest("stage", "is not a known stage" if request.stage else "is required")
    return _STAGES[request.stage]


def to_counts(counts: Mapping[str, int], field: str) -> dict[str, int]:
    """How much of each kind."""
    if len(counts) > MOST_KINDS:
        raise InvalidRequest(field, f"has {len(counts)} entries; at most {MOST_KINDS} are allowed")
    for kind, count in counts.items():
        if fields.word(kind, field) != kind:
            raise InvalidRequest(field, f"{kind!r} must be in lower case")
        if count < 0:
            raise InvalidRequest(f"{field}.{kind}", "must not be negative")
    return dict(counts)


def to_running(request: pb.ListErasuresRequest) -> bool | None:
    """Whether the erasures asked for run; None for all."""
    if request.state not in _RUNNING:
        raise InvalidRequest("state", "is not a known state")
    return _RUNNING[request.state]


def from_erasure(erasure: Erasure) -> erasure_pb2.Erasure:
    """An erasure as the contract has it."""
    return erasure_pb2.Erasure(
        erasure_id=erasure.erasure_id,
        person_ids=erasure.person_ids,
        subject_ids=erasure.subject_ids,
        state=erasure_pb2.ERASURE_STATE_SUCCEEDED
        if erasure.finished_at
        else erasure_pb2.ERASURE_STATE_RUNNING,
        steps=map(_from_step, erasure.steps),
        started_at=fields.to_timestamp(erasure.started_at),
        finished_at=fields.to_timestamp(erasure.finished_at),
    )


def _from_step(step: Step) -> erasure_pb2.ErasureStep:
    return erasure_pb2.ErasureStep(
        stage=_STAGE_NUMBERS[step.stage],
        erased=step.erased,
        remaining=step.remaining,
        recorded_at=fields.to_timestamp(step.recorded_at),
    )
