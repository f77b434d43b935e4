"""What a walk through the stores told, by name."""

from collections import Counter
from dataclasses import dataclass

from kith.knowledge.v1 import integrity_service_pb2 as pb


@dataclass(frozen=True)
class Walked:
    """What a walk told."""

    findings: list[pb.Finding]
    actions: list[pb.RepairAction.ValueType]
    progress: list[pb.CensusProgress]
    summary: pb.CensusSummary

    @property
    def kinds(self) -> list[str]:
        """The kinds of the findings, by name."""
        return sorted(kind_of(finding) for finding in self.findings)

    @property
    def told(self) -> Counter[tuple[str, str]]:
        """Each finding as its kind and what it is about."""
        return Counter((kind_of(one), about(one)) for one in self.findings)

    @property
    def done(self) -> dict[str, str]:
        """The action about each thing, by name."""
        names = [pb.RepairAction.Name(one).removeprefix("REPAIR_ACTION_") for one in self.actions]
        return dict(zip(map(about, self.findings), names, strict=True))


def kind_of(finding: pb.Finding) -> str:
    """The name of its kind."""
    return pb.FindingKind.Name(finding.kind).removeprefix("FINDING_KIND_")


def about(finding: pb.Finding) -> str:
    """The one thing that a finding is about."""
    return finding.knowledge_id or finding.document_id or finding.blob_key
