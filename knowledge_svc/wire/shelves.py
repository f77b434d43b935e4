"""ListNamespaces' messages."""

from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.domain.shelves import Shelf
from svckit import fields, pages

_SCOPE_CHARACTERS = 128


def to_scope(request: pb.ListNamespacesRequest, subject_ids: list[str]) -> object:
    """What page tokens are bound to."""
    scope = fields.characters(request.page_scope, "page_scope", most=_SCOPE_CHARACTERS)
    return ["namespaces", scope or subject_ids]


def to_after(page_token: str, scope: object) -> str:
    """The name of the last shelf of the page before; empty at the start."""
    place = pages.place(page_token, scope)
    if place is None:
        return ""
    return fields.word(place if isinstance(place, str) else "", "page_token")


def page_token(last: Shelf, scope: object) -> str:
    """The token of the page after this shelf."""
    return pages.token(last.namespace, scope)


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
