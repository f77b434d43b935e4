"""The crash test, for as long as patience lasts: `make soak`."""

from pathlib import Path

import pytest

from tests.support.up import kith_up
from tests.system.test_crashes import PROCESSES, Journal, kill_and_check

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

KILLS_EACH = 20


async def test_nothing_is_lost_or_doubled_over_a_hundred_kills(tmp_path: Path):
    journal = Journal(tmp_path / "journal")

    with kith_up(tmp_path / "home") as kith:
        await kill_and_check(kith, journal, kills_each=KILLS_EACH)

    print(
        f"\n{KILLS_EACH * len(PROCESSES)} kills, {len(journal.events)} messages acknowledged, "
        f"{len(journal.persons)} people: 0 lost, 0 doubled"
    )
