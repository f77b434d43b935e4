"""Whom a request is about, checked on the way."""

from collections.abc import Sequence

from svckit import fields

MOST = 1000


def to_subject_ids(subject_ids: Sequence[str]) -> list[str]:
    """One to 1,000 subjects, each once."""
    checked = fields.uuids(fields.batch(subject_ids, "subject_ids"), "subject_ids", most=MOST)
    return list(dict.fromkeys(checked))
