"""Where something that reads pictures can be put in; nothing of the kind comes with Kith."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Picture:
    """A page as a picture: grey, a byte a pixel, row by row from the top."""

    width: int
    height: int
    pixels: bytes


class Ocr(Protocol):
    """A module that reads pictures, loaded in the process that reads files, within its limits."""

    def text_of(self, picture: Picture) -> str:
        """The text that can be seen, "" where there is none."""
        ...
