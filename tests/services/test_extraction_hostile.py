"""Files that are broken, locked, empty or meant to do harm end with the reason, and harm nobody."""

from collections.abc import Callable
from pathlib import Path

import pytest

from knowledge_svc.domain.extraction import ExtractionFailed, FailureReason
from knowledge_svc.extraction.limits import Limits
from knowledge_svc.extraction.readers import DOCX
from tests.support.extraction import HOSTILE, extracted
from tests.support.files import (
    a_docx,
    a_docx_of,
    a_json,
    a_pdf,
    a_png,
    a_scanned_pdf,
    a_truncated_pdf,
    a_zip,
    a_zip_bomb_docx,
    an_encrypted_docx,
    an_encrypted_pdf,
    an_entity_bomb_docx,
)

_PDF, _TEXT, _JSON = "application/pdf", "text/plain", "application/json"
_WORD_BEGINS = (
    b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
)
_FAILING: list[tuple[str, Callable[[], bytes], str, FailureReason]] = [
    ("a truncated PDF", a_truncated_pdf, _PDF, FailureReason.BROKEN),
    ("a picture named PDF", a_png, _PDF, FailureReason.BROKEN),
    ("nothing", lambda: b"", _PDF, FailureReason.BROKEN),
    ("a truncated DOCX", lambda: a_docx(["x"])[:-100], DOCX, FailureReason.BROKEN),
    ("a zip of other things", lambda: a_zip({"a": b"b"}), DOCX, FailureReason.BROKEN),
    ("XML that does not end", lambda: a_docx_of(_WORD_BEGINS), DOCX, FailureReason.BROKEN),
    ("an entity bomb", an_entity_bomb_docx, DOCX, FailureReason.BROKEN),
    ("XML without a floor", lambda: a_docx_of(b"<a>" * 100_000), DOCX, FailureReason.BROKEN),
    ("a lying zip bomb", lambda: a_zip_bomb_docx(64, lying=True), DOCX, FailureReason.BROKEN),
    ("JSON that ends early", lambda: b'[{"text": "hi"', _JSON, FailureReason.BROKEN),
    ("JSON in Latin-1", lambda: b'["caf\xe9"]', _JSON, FailureReason.BROKEN),
    ("bytes of all kinds", lambda: bytes(range(256)) * 99, _TEXT, FailureReason.BROKEN),
    ("subtitles without cues", lambda: b"WEBVTT\n\nhello", "text/vtt", FailureReason.BROKEN),
    ("a library that fails", lambda: b"raise", HOSTILE, FailureReason.BROKEN),
    ("a locked PDF", an_encrypted_pdf, _PDF, FailureReason.ENCRYPTED),
    ("a locked DOCX", an_encrypted_docx, DOCX, FailureReason.ENCRYPTED),
    ("a scan", a_scanned_pdf, _PDF, FailureReason.NO_TEXT),
    ("blank pages", lambda: a_pdf(["", ""]), _PDF, FailureReason.NO_TEXT),
    ("blanks", lambda: b" \n" * 100_000, _TEXT, FailureReason.NO_TEXT),
    ("an empty file", lambda: b"", _TEXT, FailureReason.NO_TEXT),
    ("JSON of numbers", lambda: b"[1, 2]", _JSON, FailureReason.NO_TEXT),
    ("a DOCX without words", lambda: a_docx([]), DOCX, FailureReason.NO_TEXT),
    ("a zip bomb", a_zip_bomb_docx, DOCX, FailureReason.TOO_MUCH),
    ("10,000 pages", lambda: a_pdf(["x"] * 10_000), _PDF, FailureReason.TOO_MUCH),
    ("JSON without a floor", lambda: b"[" * 1_000_000, _JSON, FailureReason.TOO_MUCH),
    ("a bottomless reader", lambda: b"recurse", HOSTILE, FailureReason.TOO_MUCH),
    ("memory without end", lambda: b"allocate", HOSTILE, FailureReason.OUT_OF_MEMORY),
    ("time without end", lambda: b"spin", HOSTILE, FailureReason.TIMED_OUT),
    ("waiting without end", lambda: b"sleep", HOSTILE, FailureReason.TIMED_OUT),
    ("too much of the processor", lambda: b"burn", HOSTILE, FailureReason.TIMED_OUT),
    ("a reader that jumps out of memory", lambda: b"segfault", HOSTILE, FailureReason.CRASHED),
    ("a reader that leaves", lambda: b"exit", HOSTILE, FailureReason.CRASHED),
    ("a reader that floods", lambda: b"flood", HOSTILE, FailureReason.CRASHED),
    ("a reader that stammers", lambda: b"talk nonsense", HOSTILE, FailureReason.CRASHED),
    ("a reader that miscounts", lambda: b"claim", HOSTILE, FailureReason.CRASHED),
]


@pytest.mark.parametrize(
    ("make", "media_type", "reason"),
    [case[1:] for case in _FAILING],
    ids=[case[0] for case in _FAILING],
)
async def test_a_bad_file_ends_with_its_reason(
    make: Callable[[], bytes], media_type: str, reason: FailureReason, tmp_path: Path
) -> None:
    limits = Limits(seconds=1.0) if reason is FailureReason.TIMED_OUT else Limits(seconds=30.0)

    with pytest.raises(ExtractionFailed) as raised:
        await extracted(make(), media_type, tmp_path, limits)

    assert raised.value.reason is reason
    assert 0 < len(raised.value.detail) < 100
    assert "secret" not in raised.value.detail


def test_every_reason_is_seen() -> None:
    assert {reason for *_, reason in _FAILING} == set(FailureReason)


@pytest.mark.parametrize(
    ("limits", "content", "media_type"),
    [
        (Limits(pages=3), a_pdf(["x"] * 4), _PDF),
        (Limits(chunks=3), b"Some words. " * 400, _TEXT),
        (Limits(characters=3_000), b"Some words. " * 400, _TEXT),
        (Limits(characters=3_000), a_json([{"text": "y" * 200, "start": 1}] * 20), _JSON),
        (Limits(unpacked_bytes=100_000), a_docx_of(b"<a>" + b" " * 99_000 + b"</a>"), DOCX),
    ],
    ids=["pages", "chunks", "characters", "characters of turns", "unpacked bytes"],
)
async def test_every_bound_holds(
    limits: Limits, content: bytes, media_type: str, tmp_path: Path
) -> None:
    with pytest.raises(ExtractionFailed) as raised:
        await extracted(content, media_type, tmp_path, limits)

    assert raised.value.reason is FailureReason.TOO_MUCH


async def test_a_web_page_may_be_nested_as_deep_as_it_likes(tmp_path: Path) -> None:
    page = b"<html><body>" + b"<div>" * 200_000 + b"All the way down." + b"</div>" * 100_000

    found = await extracted(page, "text/html", tmp_path)

    assert found.chunks[0].content == "All the way down."


async def test_what_a_library_prints_is_not_taken_for_chunks(tmp_path: Path) -> None:
    found = await extracted(b"print", HOSTILE, tmp_path)

    assert [chunk.content for chunk in found.chunks] == ["All is well."]
