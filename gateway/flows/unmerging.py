"""Undoing a merge of the person whom a client means, and never of somebody else."""

from gateway.clients import Identity
from gateway.models.people import UnmergeRequest
from kith.identity.v1 import identity_service_pb2
from svckit.errors import FailedPrecondition, NotFound


class MergeNotFound(NotFound):
    """The person was not part of such a merge; the same that the service says."""

    reason = "MERGE_NOT_FOUND"

    def __init__(self, merge_id: str) -> None:
        super().__init__(f"there is no merge {merge_id} of this person", merge_id=merge_id)


class NotMerged(FailedPrecondition):
    """Nobody of this id is merged into the person; the same that the service says."""

    reason = "NOT_MERGED"

    def __init__(self, person_id: str) -> None:
        super().__init__(f"{person_id} is not merged into this person", person_id=person_id)


async def unmerge(
    identity: Identity, person_id: str, wanted: UnmergeRequest
) -> identity_service_pb2.UnmergePersonsResponse:
    """Undo a merge that made somebody part of a person.

    It is looked up among the person's own and undone by its id, so that a repeat, which may
    come after the two were merged elsewhere, cannot undo another one.
    """
    person = await identity.person(person_id)
    merges = {merged.person_id: merged.merge_id for merged in person.merged_persons}
    if wanted.merge_id is not None:
        known = {merge.merge_id for merge in person.merges} | set(merges.values())
        if wanted.merge_id not in known:
            raise MergeNotFound(wanted.merge_id)
        merge_id = wanted.merge_id
    else:
        source = wanted.source_person_id or ""
        if source not in merges:
            raise NotMerged(source)
        merge_id = merges[source]
    request = identity_service_pb2.UnmergePersonsRequest(merge_id=merge_id)
    return await identity.ask(identity.stub.UnmergePersons, request)
