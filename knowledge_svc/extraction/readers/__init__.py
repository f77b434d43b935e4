"""A module for each format, loaded only where a file is read."""

from collections.abc import Mapping

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

_HERE = __name__

# Which module reads which media type.
READERS: Mapping[str, str] = {
    "application/pdf": f"{_HERE}.pdf",
    DOCX: f"{_HERE}.docx",
    "text/html": f"{_HERE}.html",
    "application/xhtml+xml": f"{_HERE}.html",
    "text/markdown": f"{_HERE}.markdown",
    "text/plain": f"{_HERE}.plain",
    "text/csv": f"{_HERE}.plain",
    "application/json": f"{_HERE}.json",
    "application/x-ndjson": f"{_HERE}.json",
    "text/vtt": f"{_HERE}.subtitles",
    "application/x-subrip": f"{_HERE}.subtitles",
}
