"""Answers about single items, and the shelves that they stand on."""

from typing import Any, Literal

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import KNOWLEDGE, TIME, example
from gateway.answers.knowledge import ItemAnswer
from gateway.models.common import ADA

_ITEM: dict[str, Any] = {
    "knowledge_id": KNOWLEDGE,
    "content": "She is allergic to peanuts.",
    "namespace": "profiles",
    "metadata": {"certain": True},
    "person_id": ADA,
    "group_id": None,
    "session_id": None,
    "platform": None,
    "occurred_at": TIME,
    "source_event_id": None,
    "source_position": None,
    "document_id": None,
    "place": None,
    "index_state": "indexed",
    "created_at": TIME,
    "updated_at": None,
    "etag": "4711",
}


@with_config(example(_ITEM))
class KnownAnswer(ItemAnswer):
    """An item as it is now; `etag` changes with every write of it."""

    created_at: str | None
    updated_at: str | None
    etag: str


@with_config(example({**_ITEM, "index_token": "b3BhcXVl"}))
class ChangedAnswer(KnownAnswer):
    """An item as it is now; `index_token` names its last write, for `at_least` of a search."""

    index_token: str


@with_config(example({"knowledge_id": KNOWLEDGE, "outcome": "created", "index_token": "b3BhcXVl"}))
class StoredAnswer(TypedDict):
    """Where it is kept. A duplicate is there already, perhaps by another id; what was deleted
    stays so.
    """

    knowledge_id: str
    outcome: Literal["created", "duplicate", "deleted"]
    index_token: str | None


@with_config(example({"deleted": True}))
class DeletedAnswer(TypedDict):
    """Whether this call deleted it; false where it was gone or never there."""

    deleted: bool


class ItemsAnswer(TypedDict):
    """A page of items, newest first."""

    items: list[KnownAnswer]
    next_page_token: str | None


@with_config(
    example(
        {
            "namespace": "profiles",
            "items": 42,
            "unindexed_items": 0,
            "documents": 3,
            "document_bytes": 120_000,
            "last_occurred_at": TIME,
        }
    )
)
class NamespaceAnswer(TypedDict):
    """A shelf, and what stands on it."""

    namespace: str
    items: int
    unindexed_items: int
    documents: int
    document_bytes: int
    last_occurred_at: str | None


class NamespacesAnswer(TypedDict):
    """A page of shelves, in order of name."""

    namespaces: list[NamespaceAnswer]
    next_page_token: str | None
