"""Whether rows, vectors and files fit together; also for the command `kith`."""

from typing import Any

from gateway.answers import integrity as answers
from gateway.rendering.values import moment
from kith.knowledge.v1 import document_pb2, knowledge_pb2
from kith.knowledge.v1 import integrity_service_pb2 as pb
from svckit import structs

_KIND, _ACTION = "FINDING_KIND_", "REPAIR_ACTION_"
# By name as answers have it.
KINDS = {name.removeprefix(_KIND): number for name, number in pb.FindingKind.items() if number != 0}


def finding(message: pb.Finding) -> answers.FindingAnswer:
    """One thing that does not fit."""
    return {
        "kind": pb.FindingKind.Name(message.kind).removeprefix(_KIND),
        "knowledge_id": message.knowledge_id or None,
        "document_id": message.document_id or None,
        "blob_key": message.blob_key or None,
        "space": message.space or None,
        "detail": message.detail,
    }


def repair(message: pb.Repair) -> answers.RepairAnswer:
    """What was done about it."""
    return {
        "finding": finding(message.finding),
        "action": pb.RepairAction.Name(message.action).removeprefix(_ACTION),
    }


def progress(message: pb.CensusProgress) -> answers.ProgressAnswer:
    """How far a walk is."""
    return {
        "stage": message.stage,
        "looked_at": message.looked_at,
        "estimated_total": message.estimated_total,
    }


def summary(message: pb.CensusSummary) -> answers.SummaryAnswer:
    """What came of it."""
    return {
        "looked_at": dict(message.looked_at),
        "findings": dict(message.findings),
        "actions": dict(message.actions),
    }


def walk_line(
    message: pb.VerifyIntegrityResponse | pb.RepairIntegrityResponse,
) -> answers.WalkLine:
    """A line of a walk."""
    match message.WhichOneof("part"):
        case "progress":
            return {"progress": progress(message.progress)}
        case "summary":
            return {"summary": summary(message.summary)}
    if isinstance(message, pb.RepairIntegrityResponse):
        return {"repair": repair(message.repair)}
    return {"finding": finding(message.finding)}


def ground_truth(message: pb.GetGroundTruthResponse) -> answers.GroundTruthAnswer:
    """What each store holds."""
    return {
        "item": _item(message.item) if message.HasField("item") else None,
        "deleted_at": moment(message, "deleted_at"),
        "is_deleting": message.is_deleting,
        "queue": structs.to_dict(message.queue) if message.HasField("queue") else None,
        "vectors": [_vector(one) for one in message.vectors],
        "document": _document(message.document) if message.HasField("document") else None,
        "file": _file(message.file) if message.HasField("file") else None,
        "chunk_rows": message.chunk_rows,
        "chunk_vectors": message.chunk_vectors,
        "findings": [finding(one) for one in message.findings],
    }


def _vector(message: pb.VectorTruth) -> answers.VectorTruthAnswer:
    return {
        "space": message.space,
        "is_serving": message.is_serving,
        "exists": message.exists,
        "content_hash": message.content_hash or None,
        "expected_content_hash": message.expected_content_hash or None,
        "fields": structs.to_dict(message.fields),
    }


def _file(message: pb.FileTruth) -> answers.FileTruthAnswer:
    return {
        "blob_key": message.blob_key,
        "exists": message.exists,
        "size": message.size,
        "sha256": message.sha256.hex() or None,
    }


def _item(message: knowledge_pb2.Knowledge) -> dict[str, Any]:
    state = knowledge_pb2.IndexState.Name(message.index_state).removeprefix("INDEX_STATE_")
    return {
        **_common(message),
        "knowledge_id": message.knowledge_id,
        "content": message.content,
        "index_state": state.lower(),
        "embedding_model": message.embedding_model or None,
        "document_id": message.document_id or None,
    }


def _document(message: document_pb2.Document) -> dict[str, Any]:
    state = document_pb2.ExtractionState.Name(message.state).removeprefix("EXTRACTION_STATE_")
    return {
        **_common(message),
        "document_id": message.document_id,
        "filename": message.filename,
        "media_type": message.media_type,
        "size": message.size,
        "sha256": message.sha256.hex(),
        # Nobody sees one that is being stored or deleted, so it has no state to tell.
        "state": state.lower() if message.state else None,
        "failure_reason": message.failure_reason or None,
        "chunks": message.chunks,
    }


def _common(message: knowledge_pb2.Knowledge | document_pb2.Document) -> dict[str, Any]:
    return {
        "namespace": message.namespace,
        "metadata": structs.to_dict(message.metadata),
        "subject_id": message.subject_id or None,
        "person_id": message.person_id or None,
        "group_id": message.group_id or None,
        "session_id": message.session_id or None,
        "platform": message.platform or None,
        "occurred_at": moment(message, "occurred_at"),
        "created_at": moment(message, "created_at"),
    }
