"""Answers about people: who they are, their links, merges and consent."""

from typing import Any

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import ETAG, EVENT, LINK, TIME, example
from gateway.models.common import ADA

_GRACE = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f40"
_MERGE = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f41"
VERIFICATION = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f42"


@with_config(example({"person_id": ADA, "link_id": LINK, "created": True, "event_id": EVENT}))
class RegistrationAnswer(TypedDict):
    """Who it is."""

    person_id: str
    link_id: str
    created: bool
    event_id: str


@with_config(example({"purposes": {"messages": "granted", "analytics": "denied"}, "version": 1}))
class ConsentAnswer(TypedDict):
    """Decisions by purpose; a purpose that is not listed is unset."""

    purposes: dict[str, str]
    version: int


@with_config(
    example(
        {
            "person_id": ADA,
            "version": 2,
            "purpose": "analytics",
            "state": "denied",
            "source": "settings page",
            "changed_at": TIME,
        }
    )
)
class ConsentChangeAnswer(TypedDict):
    """One decision, by the id in whose history it is."""

    person_id: str
    version: int
    purpose: str
    state: str
    source: str
    changed_at: str | None


class ConsentHistoryAnswer(TypedDict):
    """One page, newest first; `next_page_token` is null on the last."""

    changes: list[ConsentChangeAnswer]
    next_page_token: str | None


@with_config(
    example(
        {
            "person_id": ADA,
            "link_id": LINK,
            "platform": "telegram",
            "platform_id": "42",
            "consent": {"purposes": {"messages": "granted"}, "version": 1},
        }
    )
)
class IdentityAnswer(TypedDict):
    """Who holds a platform id now."""

    person_id: str
    link_id: str
    platform: str
    platform_id: str
    consent: ConsentAnswer


@with_config(
    example(
        {
            "person_id": _GRACE,
            "merge_id": _MERGE,
            "created_at": TIME,
            "metadata": {"name": "A. Lovelace"},
        }
    )
)
class MergedPersonAnswer(TypedDict):
    """What somebody was before they were merged into the person."""

    person_id: str
    merge_id: str
    created_at: str | None
    metadata: dict[str, Any]


_MERGED = {
    "merge_id": _MERGE,
    "source_person_id": _GRACE,
    "target_person_id": ADA,
    "merged_at": TIME,
    "unmerged_at": None,
    "reason": "told us",
}


@with_config(example(_MERGED))
class MergeAnswer(TypedDict):
    """Two people who turned out to be one; `unmerged_at` is null while that holds."""

    merge_id: str
    source_person_id: str
    target_person_id: str
    merged_at: str | None
    unmerged_at: str | None
    reason: str


PERSON_EXAMPLE: dict[str, Any] = {
    "person_id": ADA,
    "person_ids": [ADA],
    "created_at": TIME,
    "last_seen_at": None,
    "metadata": {"name": "Ada"},
    "consent": {"purposes": {}, "version": 0},
    "merged_persons": [],
    "merges": [],
    "etag": ETAG,
}


@with_config(example(PERSON_EXAMPLE))
class PersonAnswer(TypedDict):
    """Somebody the app knows; `person_ids` are all ids that lead to them, their own first."""

    person_id: str
    person_ids: list[str]
    created_at: str | None
    last_seen_at: str | None
    metadata: dict[str, Any]
    consent: ConsentAnswer
    merged_persons: list[MergedPersonAnswer]
    merges: list[MergeAnswer]
    etag: str


class PersonsAnswer(TypedDict):
    """One page, in order of creation; `next_page_token` is null on the last."""

    persons: list[PersonAnswer]
    next_page_token: str | None


@with_config(example({"person": PERSON_EXAMPLE, "merged": True, "merge": _MERGED}))
class MergedAnswer(TypedDict):
    """The one person they are now, and whether this call made them one."""

    person: PersonAnswer
    merged: bool
    merge: MergeAnswer | None


@with_config(
    example(
        {
            "merge": {**_MERGED, "unmerged_at": TIME},
            "source": {**PERSON_EXAMPLE, "person_id": _GRACE, "person_ids": [_GRACE]},
            "target": PERSON_EXAMPLE,
        }
    )
)
class UnmergedAnswer(TypedDict):
    """The merge, undone, and the two that they are again."""

    merge: MergeAnswer
    source: PersonAnswer
    target: PersonAnswer


_LINK: dict[str, Any] = {
    "link_id": LINK,
    "person_id": ADA,
    "platform": "telegram",
    "platform_id": "42",
    "original_platform_id": "42",
    "verified": False,
    "verified_at": None,
    "verification_method": None,
    "created_at": TIME,
    "ended_at": None,
}


@with_config(example(_LINK))
class LinkAnswer(TypedDict):
    """One tenure of one platform id; `ended_at` is null while it lasts."""

    link_id: str
    person_id: str
    platform: str
    platform_id: str
    original_platform_id: str
    verified: bool
    verified_at: str | None
    verification_method: str | None
    created_at: str | None
    ended_at: str | None


@with_config(example({**_LINK, "created": True, "merge": None}))
class NewLinkAnswer(LinkAnswer):
    """A link, whether this call made it, and the merge that this call made."""

    created: bool
    merge: MergeAnswer | None


class LinksAnswer(TypedDict):
    """One page, oldest first; `next_page_token` is null on the last."""

    links: list[LinkAnswer]
    next_page_token: str | None


@with_config(example({"verification_id": VERIFICATION, "code": "K7QX2MPA", "expires_at": TIME}))
class VerificationAnswer(TypedDict):
    """A verification, and the code to carry over the platform; it is told this once."""

    verification_id: str
    code: str
    expires_at: str | None
