"""A home that cannot be used is told of in one line."""

from pathlib import Path

import pytest

from tests.support.command import kith


@pytest.mark.parametrize(
    "command",
    [
        ("up", "--ports", "0"),
        ("tail", "--no-follow"),
        ("knowledge", "status"),
        ("events", "retain", "--days", "3"),
    ],
    ids=lambda command: command[0],
)
async def test_a_file_in_its_place_is_no_home(command: tuple[str, ...], tmp_path: Path):
    file = tmp_path / "home"
    file.touch()

    refused = await kith(*command, home=file)

    assert refused.status == 1
    assert refused.errors.count("\n") == 1
    assert str(file) in refused.errors
