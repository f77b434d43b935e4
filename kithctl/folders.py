"""Folders of our own, closed to other users."""

import os
from pathlib import Path

from kithctl.account import Account


def make_closed(folder: Path, visitor: Account | None = None) -> None:
    """Make a folder that nobody else can look into, unless it is there already.

    Where root makes it, a visitor may pass through it, by way of his group; he cannot list it.
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    if visitor is not None and os.geteuid() == 0:
        os.chown(folder, -1, visitor.gid)
        folder.chmod(0o710)
