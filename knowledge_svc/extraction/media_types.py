"""What a file is, by its content and its name; and the name that it is kept under."""

import mimetypes
import re
from pathlib import Path

from svckit.errors import InvalidRequest

UNKNOWN = "application/octet-stream"

_UNSAFE = re.compile("[^A-Za-z0-9._-]+")


def media_type_of(path: Path, filename: str, declared: str = "") -> str:
    """What the file at `path` is. Raises InvalidRequest on `filename` or `media_type`."""
    with path.open("rb") as file:
        is_pdf = file.read(5) == b"%PDF-"
    told = declared or mimetypes.guess_type(filename)[0] or UNKNOWN
    if is_pdf != (told == "application/pdf") and told != UNKNOWN:
        field = "media_type" if declared else "filename"
        raise InvalidRequest(field, "says something else than the content does")
    return "application/pdf" if is_pdf else told


def safe_filename(name: str) -> str:
    """A name for keys of blob stores: 1 to 255 of `A-Z a-z 0-9 . _ -`, no dot in front."""
    return _UNSAFE.sub("_", name).lstrip(".")[-255:] or "file"
