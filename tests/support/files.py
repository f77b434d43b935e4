"""Files of every type that documents may be, made on the spot: good, broken and hostile."""

import io
import json
import re
import struct
import textwrap
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import docx

_MEBIBYTE = 1 << 20


def a_pdf(pages: Sequence[str], *, title: str | None = None) -> bytes:
    """A PDF with a page for each text, in any script; long lines are wrapped, "" is blank."""
    characters = {c: number for number, c in enumerate(sorted(set("".join(pages))), start=1)}
    return _pdf_of(
        [_shown(page, characters) for page in pages],
        resources=b"/Font << /F1 4 0 R >>",
        shared=_font(characters),
        title=title,
    )


def a_scanned_pdf(pages: int = 1) -> bytes:
    """A PDF whose pages are pictures, without a word of text."""
    pixels = zlib.compress(bytes(range(256)) * 16)
    picture = _stream(
        pixels,
        b"/Type /XObject /Subtype /Image /Width 64 /Height 64 /ColorSpace /DeviceGray "
        b"/BitsPerComponent 8 /Filter /FlateDecode",
    )
    shown = b"q 400 0 0 400 100 200 cm /Im1 Do Q"
    return _pdf_of([shown] * pages, resources=b"/XObject << /Im1 4 0 R >>", shared=[picture])


def an_encrypted_pdf() -> bytes:
    """A PDF that opens with a password only."""
    nonsense = b"<" + b"5a" * 32 + b">"
    lock = (
        b"<< /Filter /Standard /V 1 /R 2 /O " + nonsense + b" /U " + nonsense + b" /P -44 >>"
    )  # fmt: skip
    return _pdf_of([b""], resources=b"", shared=[lock], encrypted_by=4)


def a_truncated_pdf() -> bytes:
    """The first half of a good PDF."""
    whole = a_pdf([f"Page {number} of what was a whole file." for number in range(1, 21)])
    return whole[: len(whole) // 2]


def a_docx(
    paragraphs: Sequence[str], *, title: str | None = None, table: Sequence[Sequence[str]] = ()
) -> bytes:
    """A Word document; a paragraph that begins with "# " is a heading, the table comes last."""
    document = docx.Document()
    document.core_properties.title = title or ""
    for text in paragraphs:
        if text.startswith("# "):
            document.add_heading(text[2:])
        else:
            document.add_paragraph(text)
    if table:
        cells = document.add_table(rows=len(table), cols=len(table[0]))
        for row, texts in zip(cells.rows, table, strict=True):
            for cell, text in zip(row.cells, texts, strict=True):
                cell.text = text
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def a_docx_of(document_xml: bytes) -> bytes:
    """A Word document with this for its main part."""
    return _replaced(a_docx(["-"]), "word/document.xml", document_xml)


def a_zip_bomb_docx(unpacked_mebibytes: int = 1024, *, lying: bool = False) -> bytes:
    """A small file whose main part unpacks to very much; a lying one declares one KiB of it."""
    head = b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
    blanks = b" " * _MEBIBYTE
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = [packer.compress(head), packer.flush(zlib.Z_FULL_FLUSH)]
    # What begins and ends on a full flush may be repeated as it is.
    again = packer.compress(blanks) + packer.flush(zlib.Z_FULL_FLUSH)
    packed += [again] * unpacked_mebibytes + [packer.flush()]
    checksum = zlib.crc32(head)
    for _ in range(unpacked_mebibytes):
        checksum = zlib.crc32(blanks, checksum)
    size = 1024 if lying else len(head) + unpacked_mebibytes * _MEBIBYTE
    others = {
        name: content for name, content in _members(a_docx(["-"])) if name != "word/document.xml"
    }
    return _zip_with(others, "word/document.xml", b"".join(packed), size, checksum)


def an_entity_bomb_docx() -> bytes:
    """A Word document whose XML grows without end: a billion laughs."""
    entities = ['<!ENTITY a0 "ha">'] + [
        f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 12)
    ]
    return a_docx_of(
        f"<!DOCTYPE w:document [{''.join(entities)}]>"
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        "<w:body><w:p><w:r><w:t>&a11;</w:t></w:r></w:p></w:body></w:document>".encode()
    )


def an_encrypted_docx() -> bytes:
    """What Word saves under a password: an OLE file with an encrypted package in it."""
    header = struct.pack(
        "<8s16s5H6x9I", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6,
        0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0,
    )  # fmt: skip
    header += struct.pack("<I", 0) + b"\xff" * (108 * 4)
    table = struct.pack("<3I", 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFE).ljust(512, b"\xff")
    entries = [("Root Entry", 5, 1), ("EncryptionInfo", 2, -1), ("EncryptedPackage", 2, -1)]
    directory = b"".join(
        name.encode("utf-16-le").ljust(64, b"\0")
        + struct.pack("<HBBiii", 2 * len(name) + 2, kind, 1, -1, -1, child)
        + bytes(48)
        for name, kind, child in entries
    ).ljust(512, b"\0")
    return header + table + directory


def an_html(paragraphs: Sequence[str], *, title: str = "A page", charset: str = "utf-8") -> bytes:
    """A page as the web serves it: with scripts, styles and menus around its paragraphs."""
    body = "\n".join(f"<p>{escape(text)}</p>" for text in paragraphs)
    page = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="{charset}"><title>{escape(title)}</title>
<style>p {{ color: red }}</style><script>var noise = "<p>script noise</p>";</script></head>
<body><nav><ul><li><a href="/">menu noise</a></li></ul></nav>
<main><h1>{escape(title)}</h1>
{body}
</main><div hidden>hidden noise</div><noscript>noscript noise</noscript>
<footer>footer noise</footer></body></html>"""
    return page.encode(charset)


def a_markdown(title: str, paragraphs: Sequence[str]) -> bytes:
    """Markdown with a heading, emphasis, a list, a link and code around its paragraphs."""
    body = "\n\n".join(textwrap.fill(text, 80) for text in paragraphs)
    return (
        f"# {title}\n\n{body}\n\n## More\n\n- *one* of **two**\n- [a link](https://example.org)\n\n"
        "```python\nprint('code')\n```\n"
    ).encode()


def a_json(value: Any) -> bytes:
    """JSON in UTF-8, characters as they are."""
    return json.dumps(value, ensure_ascii=False).encode()


def a_whisper_transcript(lines: Sequence[str], *, seconds_each: float = 4.0) -> bytes:
    """What Whisper writes: the text once whole and once in timed segments."""
    return a_json({
        "text": " ".join(lines),
        "segments": [
            {"id": n, "start": n * seconds_each, "end": (n + 1) * seconds_each, "text": f" {line}"}
            for n, line in enumerate(lines)
        ],
        "language": "en",
    })  # fmt: skip


def a_conversation(turns: Sequence[tuple[str, str]], *, begins: int = 1_600_000_000) -> bytes:
    """A Telegram export of a chat: (speaker, text) pairs, a minute apart."""
    messages: list[Mapping[str, Any]] = [
        {
            "id": n, "type": "message", "from": speaker, "from_id": f"user{len(speaker)}",
            "date": "2020-09-13T12:26:40", "date_unixtime": str(begins + 60 * n), "text": text,
        }
        for n, (speaker, text) in enumerate(turns)
    ]  # fmt: skip
    return a_json({"name": "A chat", "type": "personal_chat", "messages": messages})


def a_png() -> bytes:
    """A picture of one grey pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0\x80")
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )  # fmt: skip


def an_exe() -> bytes:
    """What begins like a program for Windows."""
    return b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0\x64\x86" + bytes(200)


def a_zip(members: Mapping[str, bytes]) -> bytes:
    """A zip archive of these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


# -- the insides of a PDF ---------------------------------------------------------------------


def _pdf_of(
    shown: Sequence[bytes],
    *,
    resources: bytes,
    shared: Sequence[bytes],
    title: str | None = None,
    encrypted_by: int | None = None,
) -> bytes:
    """Objects 1 to 3 are catalog, page tree and title, `shared` are from 4 on, then the pages."""
    first = 4 + len(shared)
    numbers = range(first, first + 2 * len(shown), 2)
    kids = b" ".join(b"%d 0 R" % number for number in numbers)
    name = b"<feff" + (title or "").encode("utf-16-be").hex().encode() + b">"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(shown), kids),
        b"<< /Title " + name + b" >>",
        *shared,
    ]
    for number, content in zip(numbers, shown, strict=True):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << %s >> >>" % (number + 1, resources)
        )
        objects.append(_stream(content))
    more = b"/Info 3 0 R"
    if encrypted_by:
        more += b" /Encrypt %d 0 R /ID [<%s> <%s>]" % (encrypted_by, b"ab" * 16, b"ab" * 16)
    return _assembled(objects, more)


def _assembled(objects: Sequence[bytes], trailer: bytes) -> bytes:
    file = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % place for place in places)
    file += b"trailer\n<< /Size %d /Root 1 0 R %s >>\n" % (len(objects) + 1, trailer)
    file += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(file)


def _stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), entries, content)


def _shown(text: str, characters: Mapping[str, int]) -> bytes:
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, 80) or [""]]
    drawn = b"\n".join(
        b"<%s> Tj T*" % "".join(f"{characters[c]:04x}" for c in _as_seen(line)).encode()
        for line in lines
    )
    return b"BT /F1 7 Tf 9 TL 40 800 Td\n" + drawn + b"\nET"


def _as_seen(line: str) -> str:
    """A line from left to right, as it is drawn: Hebrew and Arabic backwards."""
    return re.sub("[\u0590-\u08ff]+([ .,-]+[\u0590-\u08ff]+)*", lambda run: run[0][::-1], line)


def _font(characters: Mapping[str, int]) -> list[bytes]:
    """A font without shapes that says which character each code is; objects 4 to 7."""
    pairs = [f"<{number:04x}> <{c.encode('utf-16-be').hex()}>" for c, number in characters.items()]
    blocks = "".join(
        f"{len(block)} beginbfchar\n" + "\n".join(block) + "\nendbfchar\n"
        for block in (pairs[start : start + 100] for start in range(0, len(pairs), 100))
    )
    meaning = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /K def "
        f"1 begincodespacerange <0000> <ffff> endcodespacerange\n{blocks}endcmap end end"
    ).encode()
    return [
        b"<< /Type /Font /Subtype /Type0 /BaseFont /Plain /Encoding /Identity-H "
        b"/DescendantFonts [5 0 R] /ToUnicode 6 0 R >>",
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /Plain /DW 600 /FontDescriptor 7 0 R "
        b"/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>",
        _stream(meaning),
        b"<< /Type /FontDescriptor /FontName /Plain /Flags 4 /FontBBox [0 -200 600 800] "
        b"/ItalicAngle 0 /Ascent 800 /Descent -200 /CapHeight 700 /StemV 80 >>",
    ]


# -- the insides of a zip ---------------------------------------------------------------------


def _members(file: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        for name in archive.namelist():
            yield name, archive.read(name)


def _replaced(file: bytes, member: str, content: bytes) -> bytes:
    return a_zip({name: content if name == member else old for name, old in _members(file)})


def _zip_with(
    others: Mapping[str, bytes], name: str, packed: bytes, size: int, checksum: int
) -> bytes:
    """An archive with one more member that is packed already and may lie about its size."""
    whole = a_zip(others)
    end = whole.rindex(b"PK\5\6")
    count, length, start = struct.unpack("<HII", whole[end + 10 : end + 20])
    about = struct.pack(
        "<HHHHHIIIHH", 20, 0, 8, 0, 0x21, checksum, len(packed), size, len(name), 0
    )  # fmt: skip
    member = b"PK\3\4" + about + name.encode() + packed
    entry = b"PK\1\2\x14\0" + about + struct.pack("<HHHII", 0, 0, 0, 0, start) + name.encode()
    directory = whole[start : start + length] + entry
    tail = struct.pack(
        "<4sHHHHIIH", b"PK\5\6", 0, 0, count + 1, count + 1, len(directory),
        start + len(member), 0,
    )  # fmt: skip
    return whole[:start] + member + directory + tail
