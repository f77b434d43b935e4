"""The integrity service's messages to the domain, checked on the way, and back."""

from collections.abc import Collection
from typing import Any

from google.protobuf import struct_pb2

from kith.knowledge.v1 import integrity_service_pb2 as pb
from knowledge_svc.domain.integrity import (
    Action,
    Chosen,
    FileLook,
    Finding,
    Kind,
    Progress,
    Repair,
    Summary,
)
from knowledge_svc.domain.items import Indexed
from knowledge_svc.ground_truth import Held, Truth
from knowledge_svc.wire.documents import from_document
from knowledge_svc.wire.items import from_item
from svckit import fields, structs
from svckit.errors import InvalidRequest

GRACE_SECONDS = 300
_MOST_GRACE_SECONDS = 604_800
_MOST_NAMESPACES = 32

_KINDS = {kind: pb.FindingKind.Value(f"FINDING_KIND_{kind.value}") for kind in Kind}
_ACTIONS = {action: pb.RepairAction.Value(f"REPAIR_ACTION_{action.value}") for action in Action}
_NAMED_KINDS = {number: kind for kind, number in _KINDS.items()}


def to_chosen(request: pb.VerifyIntegrityRequest, at: str = "") -> Chosen:
    """Which walk; `at` is the path of the message within the request."""
    grace = request.grace_seconds or GRACE_SECONDS
    if not 1 <= grace <= _MOST_GRACE_SECONDS:
        raise InvalidRequest(
            f"{at}grace_seconds", f"must be from 1 to {_MOST_GRACE_SECONDS}, or 0 for the default"
        )
    namespaces = fields.words(request.namespaces, f"{at}namespaces", most=_MOST_NAMESPACES)
    return Chosen(grace, request.read_files, namespaces or None)


def to_kinds(values: Collection[pb.FindingKind.ValueType]) -> frozenset[Kind]:
    """The kinds of findings; all where none is named."""
    if len(values) > len(Kind):
        raise InvalidRequest("kinds", f"has {len(values)} values; at most {len(Kind)} are allowed")
    for index, value in enumerate(values):
        if value not in _NAMED_KINDS:
            raise InvalidRequest(f"kinds[{index}]", "is no kind of finding")
    return frozenset(_NAMED_KINDS[value] for value in values) or frozenset(Kind)


def from_finding(finding: Finding) -> pb.Finding:
    """A finding as callers see it."""
    return pb.Finding(
        kind=_KINDS[finding.kind],
        knowledge_id=finding.knowledge_id,
        document_id=finding.document_id,
        blob_key=finding.blob_key,
        space=finding.space,
        detail=finding.detail,
    )


def from_verified(part: Finding | Progress | Summary) -> pb.VerifyIntegrityResponse:
    """A part of a census."""
    match part:
        case Finding():
            return pb.VerifyIntegrityResponse(finding=from_finding(part))
        case Progress():
            return pb.VerifyIntegrityResponse(progress=_progress(part))
        case Summary():
            return pb.VerifyIntegrityResponse(summary=_summary(part))


def from_repaired(part: Repair | Progress | Summary) -> pb.RepairIntegrityResponse:
    """A part of a repair."""
    match part:
        case Repair():
            repair = pb.Repair(finding=from_finding(part.finding), action=_ACTIONS[part.action])
            return pb.RepairIntegrityResponse(repair=repair)
        case Progress():
            return pb.RepairIntegrityResponse(progress=_progress(part))
        case Summary():
            return pb.RepairIntegrityResponse(summary=_summary(part))


def _progress(progress: Progress) -> pb.CensusProgress:
    return pb.CensusProgress(
        stage=progress.stage,
        looked_at=progress.looked_at,
        estimated_total=progress.estimated_total,
    )


def _summary(summary: Summary) -> pb.CensusSummary:
    return pb.CensusSummary(
        looked_at=summary.looked_at, findings=summary.findings, actions=summary.actions
    )


def from_truth(truth: Truth) -> pb.GetGroundTruthResponse:
    """What each store holds."""
    rows = truth.rows
    return pb.GetGroundTruthResponse(
        item=from_item(rows.item) if rows.item else None,
        deleted_at=fields.to_timestamp(rows.deleted_at),
        is_deleting=rows.is_deleting,
        queue=_struct(dict(rows.queue)) if rows.queue else None,
        vectors=[_vector(held, truth) for held in truth.vectors],
        document=from_document(rows.document) if rows.document else None,
        file=_file(rows.document.blob_key, truth.file) if rows.document else None,
        chunk_rows=truth.pieces,
        chunk_vectors=truth.piece_vectors,
        findings=map(from_finding, truth.findings),
    )


def _vector(held: Held, truth: Truth) -> pb.VectorTruth:
    look, vector = truth.rows.look, held.vector
    return pb.VectorTruth(
        space=held.space,
        is_serving=held.is_serving,
        exists=vector is not None,
        content_hash=(vector and vector.content_hash) or "",
        expected_content_hash=look.content_hash if look else "",
        fields=_struct(_beside(vector)) if vector else None,
    )


def _beside(vector: Indexed) -> dict[str, Any]:
    told_apart = ("knowledge_id", "content_hash")
    return {name: value for name, value in vars(vector).items() if name not in told_apart}


def _struct(values: dict[str, Any]) -> struct_pb2.Struct:
    return structs.from_dict({key: value for key, value in values.items() if value is not None})


def _file(key: str, file: FileLook | None) -> pb.FileTruth:
    return pb.FileTruth(
        blob_key=key,
        exists=file is not None,
        size=file.size if file else 0,
        sha256=bytes.fromhex((file and file.sha256) or ""),
    )
