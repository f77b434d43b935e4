"""`kith verify`, `kith repair` and `kith ground-truth`, and what their status says."""

from collections.abc import AsyncIterator
from io import BytesIO, StringIO
from typing import Any

import pytest
from rich.console import Console

from gateway.rendering import integrity as rendering
from kith.knowledge.v1 import integrity_service_pb2 as pb
from kithctl.integrity.screens import JsonLines, Terminal, show_truth
from svckit import ids
from tests.support.command import kith
from tests.support.integrity import World, a_world


@pytest.fixture
async def world(database: Any) -> AsyncIterator[World]:
    async with a_world(database, "pgvector") as world:
        yield world


@pytest.fixture
def where(world: World) -> dict[str, str]:
    return {"KITH_KNOWLEDGE_ADDRESS": world.address}


async def test_the_status_tells_scripts_whether_all_is_well(world, where, tmp_path):
    [good, lost] = await world.store("The attic.", "The boiler.")

    well = await kith("verify", home=tmp_path, **where)
    await world.lose_vectors([lost])
    broken = await kith("verify", "--read-files", home=tmp_path, **where)
    planned = await kith("repair", "--dry-run", home=tmp_path, **where)
    mended = await kith("repair", home=tmp_path, **where)
    await world.indexed()
    again = await kith("repair", "--kind", "vector_missing", home=tmp_path, **where)

    assert [one.status for one in (well, broken, planned, mended, again)] == [0, 1, 1, 0, 0]
    assert well.lines == [
        {
            "summary": {
                "looked_at": {"items": 2, "vectors": 2, "documents": 0, "files": 0},
                "findings": {}, "actions": {}, "dry_run": False,
            }
        }
    ]  # fmt: skip
    assert broken.lines[0]["finding"]["knowledge_id"] == lost
    assert planned.lines[0]["repair"] == mended.lines[0]["repair"]
    assert mended.summary["summary"]["actions"] == {"REQUEUED": 1}
    assert again.summary["summary"]["findings"] == {}
    assert good in await world.vector_ids()


async def test_what_a_repair_has_to_leave_is_told_by_its_status(world, where, tmp_path):
    await world.store("The attic.")
    await world.plant_vectors([ids.new()])

    left = await kith("repair", home=tmp_path, **where)

    assert left.status == 1
    assert left.summary["summary"]["actions"] == {"LEFT": 1}


async def test_one_thing_is_shown_in_all_stores(world, where, tmp_path):
    [one] = await world.store("The attic.")

    shown = await kith("ground-truth", one, home=tmp_path, **where)
    missing = await kith("ground-truth", ids.new(), home=tmp_path, **where)
    wrong = await kith("ground-truth", "42", home=tmp_path, **where)

    assert shown.status == 0
    assert shown.summary["item"]["content"] == "The attic."
    assert (missing.status, missing.output) == (1, "")
    assert missing.errors.startswith("kith: no store holds anything of")
    assert wrong.status == 2
    assert "must be a UUID" in wrong.errors


@pytest.mark.parametrize(
    "arguments",
    [("verify", "--grace", 0), ("repair", "--kind", "nothing"), ("ground-truth",)],
)
async def test_what_is_no_command_has_a_status_of_its_own(arguments, tmp_path):
    assert (await kith(*arguments, home=tmp_path)).status == 2


async def test_where_nothing_answers_the_status_is_not_that_of_a_finding(tmp_path):
    away = await kith("verify", "--service", "127.0.0.1:1", home=tmp_path)

    assert (away.status, away.output) == (2, "")
    assert away.errors == "kith: no knowledge service answers at 127.0.0.1:1\n"


FINDING = rendering.finding(
    pb.Finding(kind=pb.FINDING_KIND_VECTOR_MISSING, knowledge_id="abc", detail="no vector")
)
SUMMARY = rendering.summary(
    pb.CensusSummary(
        looked_at={"items": 2_000}, findings={"VECTOR_MISSING": 1}, actions={"REQUEUED": 1}
    )
)


def test_at_a_terminal_there_are_lines_bars_and_a_table():
    text = StringIO()
    screen = Terminal(Console(file=text, width=100))

    screen.advanced({"stage": "items", "looked_at": 10, "estimated_total": 2_000})
    screen.found(FINDING)
    screen.mended({"finding": FINDING, "action": "REQUEUED"})
    screen.ended(SUMMARY, dry_run=True)

    said = text.getvalue()
    assert "VECTOR_MISSING     abc  no vector" in said
    assert "Looked at 2,000 items." in said
    assert "REQUEUED        1" in said
    assert "Nothing was changed." in said


def test_elsewhere_there_is_a_line_for_each():
    stream = BytesIO()
    screen = JsonLines(stream)

    screen.advanced({"stage": "items", "looked_at": 10, "estimated_total": 2_000})
    screen.found(FINDING)
    screen.ended(SUMMARY, dry_run=False)

    assert stream.getvalue().count(b"\n") == 2


def test_the_truth_is_a_table():
    text = StringIO()
    truth = pb.GetGroundTruthResponse(
        is_deleting=True, findings=[pb.Finding(kind=pb.FINDING_KIND_FAILED, detail="given up")],
        vectors=[pb.VectorTruth(space="s", is_serving=True, exists=True)],
    )  # fmt: skip

    show_truth(Console(file=text, width=100), rendering.ground_truth(truth))

    assert "deleting" in text.getvalue()
    assert "s: yes" in text.getvalue()
    assert "FAILED: given up" in text.getvalue()
