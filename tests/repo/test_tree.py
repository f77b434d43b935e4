"""The repository keeps its own rules."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Spelled apart, or this file would find itself.
MACHINE_PATHS = re.compile(r"/(?:root|home/[a-z]+|Users/[a-z]+)" + "/")
REGISTRIES = re.compile(
    "pypi"
    + r"\.org/simple|files\.python"
    + "hosted|registry"
    + r"\.npmjs|--(?:extra-)?index"
    + "-url"
)


def tracked() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    return [
        (path, path.read_text(encoding="utf-8"))
        for path in tracked()
        if path.suffix != ".binpb" and path != Path(__file__)
    ]


def test_no_file_names_a_place_on_somebodys_machine_or_a_registry():
    found = [
        (str(path.relative_to(ROOT)), match.group())
        for path, text in texts()
        for match in [MACHINE_PATHS.search(text) or REGISTRIES.search(text)]
        if match
    ]

    assert found == []


def test_files_stay_small():
    long = [
        (str(path.relative_to(ROOT)), text.count("\n"))
        for path, text in texts()
        if path.suffix == ".py" and "gen" not in path.relative_to(ROOT).parts
        if text.count("\n") > 400
    ]

    assert long == []


def test_migrations_are_numbered_without_gaps():
    for folder in ROOT.glob("*_svc/migrations"):
        numbers = sorted(int(file.name[:4]) for file in folder.glob("[0-9]*.sql"))
        assert numbers == list(range(1, len(numbers) + 1)), folder


def test_the_license_that_the_wheel_names_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["license"] == "Apache-2.0"
    assert "Apache License\n" in (ROOT / "LICENSE").read_text()
    assert "!LICENSE\n" in (ROOT / "deploy" / "Dockerfile.dockerignore").read_text()
