"""Files."""

from gateway.answers import documents as answers
from gateway.rendering.values import moment
from kith.knowledge.v1 import document_pb2
from svckit import structs

STATES = {
    "pending": document_pb2.EXTRACTION_STATE_PENDING,
    "running": document_pb2.EXTRACTION_STATE_RUNNING,
    "succeeded": document_pb2.EXTRACTION_STATE_SUCCEEDED,
    "failed": document_pb2.EXTRACTION_STATE_FAILED,
}
_NAMES = {state: name for name, state in STATES.items()}


def document(message: document_pb2.Document) -> answers.DocumentAnswer:
    """A document."""
    failure: answers.FailureAnswer | None = None
    if message.failure_reason:
        failure = {"reason": message.failure_reason, "detail": message.failure_detail}
    return {
        "document_id": message.document_id,
        "key": message.key or None,
        "version": message.version,
        "is_latest": message.is_latest,
        "filename": message.filename,
        "media_type": message.media_type,
        "size": message.size,
        "sha256": message.sha256.hex(),
        "namespace": message.namespace,
        "metadata": structs.to_dict(message.metadata),
        "person_id": message.person_id or None,
        "group_id": message.group_id or None,
        "session_id": message.session_id or None,
        "platform": message.platform or None,
        "occurred_at": moment(message, "occurred_at"),
        "created_at": moment(message, "created_at"),
        "state": _NAMES.get(message.state, "pending"),
        "failure": failure,
        "indexed": message.indexed,
        "chunks": message.chunks,
        "pages": message.pages or None,
        "title": message.title or None,
    }
