"""The rules of a census: what a row, a vector and a file have to have in common."""

from datetime import datetime

from knowledge_svc.domain.integrity import DocumentLook, FileLook, Finding, ItemLook, Kind
from knowledge_svc.domain.items import Indexed, Space

_MOST_ERROR = 200  # characters of an error that are told


def judge_item(
    look: ItemLook, vector: Indexed | None, space: Space, grace_seconds: int
) -> list[Finding]:
    """What does not fit about an item and its vector in a space."""

    def told(kind: Kind, detail: str, where: str = "") -> Finding:
        return Finding(
            kind, detail, knowledge_id=look.knowledge_id, space=where, revision=look.revision
        )

    if look.is_deleting:
        if look.is_held or look.waited_seconds < grace_seconds:
            return []
        return [told(Kind.STUCK_DELETING, f"deletion began {_ago(look.waited_seconds)}")]
    match look.state:
        case "indexed":
            found = _judge_vector(look, vector, space)
            return [told(kind, detail, space.name) for kind, detail in found]
        case "failed":
            return [told(Kind.FAILED, f"given up after {look.attempts} tries: {_error(look)}")]
        case "pending" if not look.is_held and look.waited_seconds >= grace_seconds:
            why = f": {_error(look)}" if look.error else ""
            return [
                told(
                    Kind.STUCK_PENDING,
                    f"pending since {_ago(look.waited_seconds)}, {look.attempts} tries{why}",
                )
            ]
        case None if look.waited_seconds >= grace_seconds:
            return [told(Kind.STUCK_PENDING, "the queue does not know the item")]
    return []


def _judge_vector(look: ItemLook, vector: Indexed | None, space: Space) -> list[tuple[Kind, str]]:
    if look.model is None:
        # There was nothing in its text to embed.
        if vector is None:
            return []
        return [(Kind.VECTOR_STALE, "a vector of an item that has none")]
    if vector is None:
        return [(Kind.VECTOR_MISSING, "indexed, and there is no vector")]
    found: list[tuple[Kind, str]] = []
    if look.model != space.model:
        found.append((Kind.MODEL_WRONG, f"of {look.model}, the space holds {space.model}"))
    if look.indexed_revision != look.revision:
        detail = f"of write {look.indexed_revision}, the item's is {look.revision}"
        found.append((Kind.VECTOR_STALE, detail))
    elif vector.content_hash is not None and vector.content_hash != look.content_hash:
        detail = f"of content {vector.content_hash[:12]}…, the item's is {look.content_hash[:12]}…"
        found.append((Kind.VECTOR_STALE, detail))
    if differing := _differing(look, vector):
        found.append((Kind.VECTOR_WRONG, "; ".join(differing)))
    return found


def _differing(look: ItemLook, vector: Indexed) -> list[str]:
    """Which of what a search is narrowed by is not the item's, and how it differs."""
    differing = [
        f"{name} is {held or 'none'}, the item's is {wanted or 'none'}"
        for name in ("namespace", "subject_id", "group_id", "session_id")
        if (held := getattr(vector, name)) != (wanted := getattr(look, name))
    ]
    held_at = vector.occurred_at
    if held_at is None or datetime.fromisoformat(held_at) != datetime.fromisoformat(
        look.occurred_at
    ):
        differing.append(f"occurred_at is {held_at or 'none'}, the item's is {look.occurred_at}")
    return differing


def judge_document(look: DocumentLook, file: FileLook | None, grace_seconds: int) -> list[Finding]:
    """What does not fit about a document, its file and its pieces.

    While it is being written, its pieces are nobody's business.
    """

    def told(kind: Kind, detail: str, key: str = "") -> Finding:
        return Finding(
            kind, detail, document_id=look.document_id, blob_key=key,
            revision=look.revision, state=look.state,
        )  # fmt: skip

    found: list[Finding] = []
    if look.has_file:
        found += [told(kind, detail, look.blob_key) for kind, detail in _judge_file(look, file)]
    if look.state == "succeeded" and (detail := _incomplete(look)):
        found.append(told(Kind.CHUNKS_INCOMPLETE, detail))
    if look.is_held or look.waited_seconds < grace_seconds:
        return found
    if look.state in ("storing", "pending", "running"):
        found.append(told(Kind.STUCK_PENDING, f"{look.state} since {_ago(look.waited_seconds)}"))
    elif look.state == "deleting":
        found.append(
            told(Kind.STUCK_DELETING, f"deletion began {_ago(look.waited_seconds)}", look.blob_key)
        )
    return found


def _judge_file(look: DocumentLook, file: FileLook | None) -> list[tuple[Kind, str]]:
    if file is None:
        return [(Kind.FILE_MISSING, f"a file of {look.size} bytes is to be there")]
    if file.size != look.size:
        return [(Kind.FILE_CORRUPT, f"has {file.size} bytes, {look.size} came")]
    if file.sha256 is not None and file.sha256 != look.sha256:
        detail = f"its SHA-256 is {file.sha256[:12]}…, that of what came {look.sha256[:12]}…"
        return [(Kind.FILE_CORRUPT, detail)]
    return []


def _incomplete(look: DocumentLook) -> str:
    """What is wrong with the pieces; empty where nothing is."""
    if not look.is_latest:
        # What it shows, it shows until the latest is read: nobody reads it anew.
        return ""
    if look.pieces != look.chunks:
        return f"has {look.pieces} pieces of {look.chunks}"
    is_numbered = look.numbers == look.chunks and (
        look.chunks == 0 or (look.first_number, look.last_number) == (0, look.chunks - 1)
    )
    return "" if is_numbered else f"its {look.chunks} pieces are not numbered one by one"


def _error(look: ItemLook) -> str:
    return (look.error or "nobody knows why")[:_MOST_ERROR]


def _ago(seconds: float) -> str:
    return f"{round(seconds):,} s ago"
