"""ListNamespaces' messages."""

from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.domain.shelves import Shelf
from svckit import fields, pages
from svckit.errors import InvalidRequest


def to_after(page_token: str, subject_ids: list[str]) -> str:
    """The name of the last shelf of the page before; empty at the start."""
    place = pages.place(page_token, "namespaces", subject_ids)
    if place is None:
        return ""
    if not isinstance(place, str):
        raise InvalidRequest("page_token", "is malformed")
    return place


def page_token(last: Shelf, subject_ids: list[str]) -> str:
    """The token of the page after this shelf."""
    return pages.token(last.namespace, "namespaces", subject_ids)


def from_shelf(shelf: Shelf) -> pb.Namespace:
    """A shelf as callers see it."""
    return pb.Namespace(
        namespace=shelf.namespace,
        items=shelf.items,
        unindexed_items=shelf.unindexed_items,
        documents=shelf.documents,
        document_bytes=shelf.document_bytes,
        last_occurred_at=fields.to_timestamp(shelf.last_occurred_at),
    )
