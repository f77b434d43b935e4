"""Each dependency is there for a reason that is written down."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


EXTRAS = PROJECT["optional-dependencies"]
# `kith` stands for itself in the extra `all`.
NAMES = {
    re.split(r"[^a-z0-9-]", requirement)[0]
    for group in (PROJECT["dependencies"], *EXTRAS.values())
    for requirement in group
} - {PROJECT["name"]}


def test_the_page_names_each_dependency_and_no_other():
    page = (ROOT / "docs" / "dependencies.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]

    # The last cell of a row says why.
    cells = [cell for row in rows for cell in row.split("|")[1:-2]]
    named = {name for cell in cells for name in re.findall(r"`([a-z0-9-]+)`", cell)}

    assert NAMES - named == set()
    assert named - NAMES - EXTRAS.keys() == set()


def test_each_is_locked():
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)

    assert NAMES - set(locked) == set()
