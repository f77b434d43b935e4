"""Merges: the contract's messages to the domain, checked on the way, and back."""

from identity_svc.domain.people import Merge
from kith.identity.v1 import identity_service_pb2 as pb
from kith.identity.v1 import person_pb2
from svckit import fields
from svckit.errors import InvalidRequest

_REASON_CHARACTERS = 256


def to_two(request: pb.MergePersonsRequest) -> tuple[str, str]:
    """The source and the target, who are not the same id."""
    source = fields.uuid(request.source_person_id, "source_person_id")
    target = fields.uuid(request.target_person_id, "target_person_id")
    if source == target:
        raise InvalidRequest("target_person_id", "is the source itself")
    return source, target


def to_reason(request: pb.MergePersonsRequest) -> str:
    """Why two people are one."""
    return fields.characters(request.reason, "reason", most=_REASON_CHARACTERS)


def to_merge(request: pb.UnmergePersonsRequest) -> tuple[str | None, str | None]:
    """Which merge to take back: its id, or the source's."""
    merge_id = fields.optional_uuid(request.merge_id, "merge_id")
    source = fields.optional_uuid(request.source_person_id, "source_person_id")
    if merge_id is None and source is None:
        raise InvalidRequest("merge_id", "is required, or `source_person_id`")
    if merge_id is not None and source is not None:
        raise InvalidRequest("source_person_id", "goes only without `merge_id`")
    return merge_id, source


def from_merge(merge: Merge) -> person_pb2.Merge:
    """A merge as the contract has it."""
    return person_pb2.Merge(
        merge_id=merge.merge_id,
        source_person_id=merge.source_person_id,
        target_person_id=merge.target_person_id,
        merged_at=fields.to_timestamp(merge.merged_at),
        unmerged_at=fields.to_timestamp(merge.unmerged_at),
        reason=merge.reason,
    )
