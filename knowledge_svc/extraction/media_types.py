"""What a file is, by its content first; and the name that it is kept under."""

import codecs
import mimetypes
import re
import unicodedata
from pathlib import Path

import filetype

from knowledge_svc.extraction.readers import DOCX
from svckit.errors import InvalidRequest

UNKNOWN = "application/octet-stream"

_HEAD = 8 << 10
# Where the names in a zip stand: before each member, and once more at the end.
_AROUND = 256 << 10
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")
_ZIP = "application/zip"
_OLE = "application/x-ole-storage"
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_TEXTS = frozenset({
    "application/javascript", "application/json", "application/postscript", "application/rtf",
    "application/sql", "application/toml", "application/x-csh", "application/x-ndjson",
    "application/x-sh", "application/x-subrip", "application/x-tex", "application/xml",
    "application/yaml", "message/rfc822",
})  # fmt: skip
_PROGRAMS = frozenset({
    "application/vnd.microsoft.portable-executable", "application/x-dosexec",
    "application/x-executable", "application/x-mach-binary", "application/x-msdos-program",
    "application/x-msdownload", "application/x-sharedlib",
})  # fmt: skip
# What no text has: control characters other than blanks, line ends and escapes.
_CONTROLS = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")
_JSON = re.compile(rb"(\{\s*[\"}]|\[\s*[\[\]{\"\d-])")
_KINDS = {
    "pdf": "a PDF", "zip": "a zip archive", "ole": "an Office file", "text": "text",
    "image": "a picture", "film": "sound or film", "program": "a program",
}  # fmt: skip
# Of these the first bytes are always known; of pictures and films there are too many.
_ALWAYS_KNOWN = frozenset({"pdf", "zip", "ole", "text"})

_usual = mimetypes.MimeTypes().types_map
_BY_NAME = _usual[False] | _usual[True] | {
    ".docx": DOCX,
    ".exe": "application/x-msdownload", ".dll": "application/x-msdownload",
    ".json": "application/json", ".jsonl": "application/x-ndjson",
    ".log": "text/plain", ".markdown": "text/markdown", ".md": "text/markdown",
    ".ndjson": "application/x-ndjson", ".srt": "application/x-subrip", ".vtt": "text/vtt",
    ".toml": "application/toml", ".yaml": "application/yaml", ".yml": "application/yaml",
}  # fmt: skip


_UNSAFE = re.compile("[^A-Za-z0-9._-]+")
_DOTS = re.compile(r"\.{2,}")
_MOST_NAME = 255
_MOST_ENDING = 16
# Devices of Windows, whatever follows.
_RESERVED = frozenset(
    ["CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10))]
)


def media_type_of(path: Path, filename: str, declared: str = "") -> str:
    """What the file at `path` is: by its content, and among alike formats by name or declaration.

    Raises InvalidRequest on `filename` or `media_type` where that says something else than the
    content does. Binary content that nothing knows is `application/octet-stream`.
    """
    content = _by_content(path)
    by_name = _BY_NAME.get(Path(filename).suffix.lower(), UNKNOWN)
    by_word = declared.partition(";")[0].strip().lower()
    if by_word and not _MEDIA_TYPE.fullmatch(by_word):
        raise InvalidRequest("media_type", "must be a media type, such as text/plain")
    claims = [("filename", by_name), ("media_type", by_word or UNKNOWN)]
    for field, claim in claims:
        if _contradict(content, claim, path):
            raise InvalidRequest(
                field, f"stands for {_in_words(claim)}; the content is {_in_words(content)}"
            )
    return next((claim for _, claim in claims if _is_finer(claim, content)), content)


def _by_content(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return UNKNOWN
    if b"%PDF-" in head[:1024]:
        return "application/pdf"
    if _is_text(head):
        # Of two letters that also begin a program or a picture, many texts do.
        return "application/rtf" if head.startswith(b"{\\rtf") else _kind_of_text(head)
    if guess := filetype.guess_mime(head):
        return str(guess)
    return _OLE if head.startswith(_OLE_MAGIC) else UNKNOWN


def _is_text(head: bytes) -> bool:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    if zeros := head.count(0):
        # Without a mark, of Western text in UTF-16 one byte of each two is zero.
        return zeros > len(head) // 3 and 0 in (head[0::2].count(0), head[1::2].count(0))
    return len(_CONTROLS.findall(head)) <= len(head) // 200


def _kind_of_text(head: bytes) -> str:
    begin = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1024].lower()
    if begin.startswith((b"<!doctype html", b"<html")):
        return "text/html"
    if begin.startswith(b"webvtt"):
        return "text/vtt"
    if _JSON.match(begin):
        return "application/json"
    return "text/plain"


def _contradict(content: str, claim: str, path: Path) -> bool:
    """Whether what is claimed cannot be what is there."""
    if claim in (UNKNOWN, content):
        return False
    claimed, found = _kind(claim), _kind(content)
    if content == UNKNOWN:
        return claimed in _ALWAYS_KNOWN and path.stat().st_size > 0
    if claimed is None or found is None:
        return False
    if content == _OLE:
        # Office locks its newer formats into the container of the older ones.
        return claimed not in ("ole", "zip")
    if content == _ZIP and claim == DOCX:
        return not _has_word_in(path)
    if claimed == found == "zip":
        return _ZIP not in (claim, content) and "office" in claim and "office" in content
    return claimed != found


def _is_finer(claim: str, content: str) -> bool:
    """Whether a claim that does not contradict says more than the content."""
    if claim == UNKNOWN:
        return False
    if content in (UNKNOWN, _OLE):
        return True
    if content == _ZIP:
        return _kind(claim) == "zip" and "x-zip" not in claim
    return _kind(content) == "text" == _kind(claim)


def _kind(media_type: str) -> str | None:
    """What is told apart by the first bytes; None where that is not known here."""
    group, _, name = media_type.partition("/")
    if group == "text" or media_type in _TEXTS or name.endswith(("+xml", "+json")):
        return "text"
    if media_type in _PROGRAMS:
        return "program"
    if group in ("audio", "video"):
        return "film"
    if group == "image":
        return "image"
    if name == "pdf":
        return "pdf"
    if name.endswith(("zip", "zip-compressed", "java-archive")) and name != "gzip":
        return "zip"
    if name.startswith(("vnd.openxmlformats-", "vnd.oasis.opendocument")):
        return "zip"
    if media_type == _OLE or name == "msword" or name.startswith("vnd.ms-"):
        return "ole"
    return None


def _in_words(media_type: str) -> str:
    kind = _kind(media_type)
    return _KINDS[kind] if kind else "something else"


def _has_word_in(path: Path) -> bool:
    with path.open("rb") as file:
        names = file.read(_AROUND)
        file.seek(max(0, path.stat().st_size - _AROUND))
        names += file.read()
    return b"word/" in names


def safe_filename(name: str) -> str:
    """A name for keys of blob stores: 1 to 255 of `A-Z a-z 0-9 . _ -`, no dot in front.

    Of a path the last part counts. Letters lose their accents, and the ending stays. Anything else
    becomes `_`: Supabase Storage refuses keys that are not ASCII, and other signs mean something
    to one system or another.
    """
    last = re.split(r"[/\\]", name)[-1]
    letters = (c for c in unicodedata.normalize("NFKD", last) if not unicodedata.combining(c))
    clean = _UNSAFE.sub("_", "".join(letters)).strip(".")
    clean = _DOTS.sub(".", clean)
    stem, dot, ending = clean.rpartition(".")
    if not dot or not 1 <= len(ending) <= _MOST_ENDING:
        stem, ending = clean, ""
    if not stem.strip("._"):
        stem = "file"
    if stem.partition(".")[0].upper() in _RESERVED:
        stem = f"_{stem}"
    suffix = f".{ending}" if ending else ""
    return stem[: _MOST_NAME - len(suffix)] + suffix
