"""Files that are either whole or not there."""

import os
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Put a text where a reader finds the old one or the new one, and never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read_if_there(path: Path) -> str | None:
    """A file's text, or None where there is no file."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
