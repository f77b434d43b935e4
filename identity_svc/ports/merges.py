"""What identity needs from outside: a store of merges."""

from typing import Protocol

from identity_svc.domain.merges import Merged, Unmerged


class MergeStore(Protocol):
    """Who is whose alias: a forest, whatever runs at once.

    Every method may be repeated with the same arguments, and answers as it did the first
    time. All raise Unavailable where the store cannot be reached.
    """

    async def merge(
        self, source_person_id: str, target_person_id: str, *, reason: str, merge_id: str
    ) -> Merged:
        """Make the person whom the source is now an alias of the one whom the target is now.

        Where the two are one already, the answer has the merge by which the source is an
        alias, or the target where the source is the person themselves. Raises
        PersonNotFound, and TooManySubjects for the target.
        """
        ...

    async def unmerge(
        self, *, merge_id: str | None, source_person_id: str | None, unmerge_id: str
    ) -> Unmerged:
        """Take back a merge: one of these ids says which, the second by whose alias it made.

        The source takes along everyone merged into them. One that was taken back stays as it
        is. `unmerge_id` names the call. Raises MergeNotFound, PersonNotFound, and NotMerged
        where the source is nobody's alias.
        """
        ...
