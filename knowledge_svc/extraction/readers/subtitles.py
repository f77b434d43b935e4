"""Subtitles as transcripts: WebVTT and SubRip, a turn for each cue."""

import re
from collections.abc import Iterator
from html import unescape
from typing import BinaryIO

from knowledge_svc.extraction.decoding import text_of
from knowledge_svc.extraction.parts import Given, Part, Turn, broken

_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{2})[.,](\d{3})"
_CUE = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}")
_VOICE = re.compile(r"<v(?:\.[^ >]*)?\s+([^>]{1,200})>")
_TAG = re.compile(r"</?[a-z0-9.:]{1,40}(?:\s[^<>]{0,200})?>", re.I)
_MOST_LINE = 1 << 16


def read(file: BinaryIO, given: Given) -> Iterator[Part]:
    """See Reader. What stands outside of cues is for players."""
    text = text_of(file)
    seconds: float | None = None
    lines: list[str] = []
    found = False
    while line := text.readline(_MOST_LINE):
        if cue := _CUE.match(line):
            found, seconds = True, _seconds(cue)
        elif seconds is not None and line.strip():
            lines.append(line.rstrip())
        elif lines:
            yield _turn(lines, seconds)
            seconds, lines = None, []
        else:
            seconds = None
    if lines:
        yield _turn(lines, seconds)
    if not found:
        raise broken("it has no cues")


def _turn(lines: list[str], seconds: float | None) -> Turn:
    said = "\n".join(lines)
    voice = _VOICE.search(said)
    speaker = unescape(voice[1]) if voice else None
    return Turn(unescape(_TAG.sub("", said)), speaker, seconds=seconds)


def _seconds(cue: re.Match[str]) -> float:
    hours, minutes, seconds, thousandths = (int(part or 0) for part in cue.groups()[:4])
    return hours * 3600 + minutes * 60 + seconds + thousandths / 1000
