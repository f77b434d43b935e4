"""What a file is, is seen from its content; a name that says otherwise is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge_svc.extraction.media_types import media_type_of, safe_filename
from knowledge_svc.extraction.readers import DOCX
from svckit.errors import InvalidRequest
from tests.support.files import (
    a_docx,
    a_pdf,
    a_png,
    a_zip,
    an_encrypted_docx,
    an_exe,
    an_html,
)

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_ODD_ORDER = a_zip({"docProps/app.xml": b"x" * 9_000, "word/document.xml": b"<a/>"})
_WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(40)


def _type_of(folder: Path, content: bytes, name: str, declared: str = "") -> str:
    path = folder / "upload"
    path.write_bytes(content)
    return media_type_of(path, name, declared)


@pytest.mark.parametrize(
    ("content", "name", "declared", "expected"),
    [
        (a_pdf(["x"]), "report.pdf", "application/pdf", "application/pdf"),
        (a_pdf(["x"]), "report", "", "application/pdf"),
        (b"\n\n" + a_pdf(["x"]), "report", "application/octet-stream", "application/pdf"),
        (a_docx(["x"]), "letter.docx", "application/zip", DOCX),
        (a_docx(["x"]), "letter", "", DOCX),
        (_ODD_ORDER, "letter.docx", "", DOCX),
        (an_encrypted_docx(), "letter.docx", DOCX, DOCX),
        (a_zip({"a": b"b"}), "a.zip", "application/x-zip-compressed", "application/zip"),
        (a_zip({"a": b"b"}), "a", "", "application/zip"),
        (a_png(), "photo.png", "image/png", "image/png"),
        (a_png(), "photo.jpg", "image/jpeg", "image/png"),
        (an_exe(), "setup.exe", "", "application/x-msdownload"),
        (_WAV, "talk.wav", "audio/wav", "audio/x-wav"),
        (an_html(["x"]), "page.html", "", "text/html"),
        (an_html(["x"]), "page", "", "text/html"),
        (b"# Title\n\ntext", "notes.md", "", "text/markdown"),
        (b"# Title\n\ntext", "notes.MD", "application/octet-stream", "text/markdown"),
        (b"# Title\n\ntext", "notes", "text/markdown; charset=utf-8", "text/markdown"),
        (b"# Title\n\ntext", "notes", "", "text/plain"),
        (b"MZ, BM and II* are letters in a text", "notes.txt", "", "text/plain"),
        ("héllo".encode("latin-1"), "notes.txt", "", "text/plain"),
        ("héllo".encode("utf-16"), "notes.txt", "", "text/plain"),
        ("hello there".encode("utf-16-le"), "notes.txt", "", "text/plain"),
        (b'{"a": 1}', "data", "", "application/json"),
        (b'[{"text": "x"}]', "chat.json", "text/plain", "application/json"),
        (b'{"a": 1}\n{"a": 2}', "chat.jsonl", "", "application/x-ndjson"),
        (b"WEBVTT\n\n", "talk", "", "text/vtt"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nHi", "talk.srt", "", "application/x-subrip"),
        (b"a,b\n1,2\n", "table.csv", "", "text/csv"),
        (b"<svg xmlns='x'></svg>", "logo.svg", "image/svg+xml", "image/svg+xml"),
        (bytes(range(256)), "what.ever", "", "application/octet-stream"),
        (bytes(range(256)), "game.save", "application/x-game", "application/x-game"),
        (b"", "empty.txt", "", "text/plain"),
        (b"", "empty", "", "application/octet-stream"),
    ],
)
def test_the_content_decides_and_the_name_refines(
    content: bytes, name: str, declared: str, expected: str, tmp_path: Path
) -> None:
    assert _type_of(tmp_path, content, name, declared) == expected


@pytest.mark.parametrize(
    ("content", "name", "declared", "field"),
    [
        (an_exe(), "report.pdf", "", "filename"),
        (an_exe(), "report", "application/pdf", "media_type"),
        (an_exe(), "notes.txt", "", "filename"),
        (an_exe(), "photo.jpg", "image/jpeg", "filename"),
        (a_png(), "photo.png", "application/pdf", "media_type"),
        (a_pdf(["x"]), "page.html", "", "filename"),
        (an_html(["x"]), "report.pdf", "", "filename"),
        (an_html(["x"]), "photo.png", "", "filename"),
        (b"just text", "letter.docx", "", "filename"),
        (a_zip({"a": b"b"}), "letter.docx", "", "filename"),
        (a_docx(["x"]), "sheet", _XLSX, "media_type"),
        (an_encrypted_docx(), "notes.txt", "", "filename"),
        (bytes(range(256)), "notes.txt", "", "filename"),
        (bytes(range(256)), "report.pdf", "", "filename"),
        (b"just text", "notes.txt", "no media type", "media_type"),
    ],
)
def test_what_says_something_else_than_the_content_is_refused(
    content: bytes, name: str, declared: str, field: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        _type_of(tmp_path, content, name, declared)

    assert [path for path, _ in raised.value.violations] == [field]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("Über uns & Co (final).docx", "Uber_uns_Co_final_.docx"),
        ("報告.pdf", "file.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.txt", "x.txt"),
        (".bashrc", "bashrc"),
        ("...", "file"),
        ("uploads/..", "file"),
        ("", "file"),
        ("con.txt", "_con.txt"),
        ("NUL", "_NUL"),
        ("a\x00b\nc.txt", "a_b_c.txt"),
        ("x" * 300 + ".tar.gz", "x" * 252 + ".gz"),
        ("a." + "e" * 300, ("a." + "e" * 300)[:255]),
        ("ﬁle①.txt", "file1.txt"),
    ],
)
def test_names_are_made_safe_for_every_store(name: str, safe: str) -> None:
    assert safe_filename(name) == safe


@given(st.text(max_size=600))
def test_a_safe_name_is_safe_whatever_it_was(name: str) -> None:
    safe = safe_filename(name)

    assert 1 <= len(safe) <= 255
    assert safe.isascii()
    assert all(c.isalnum() or c in "._-" for c in safe)
    assert not safe.startswith(".")
    assert ".." not in safe
    assert safe_filename(safe) == safe
