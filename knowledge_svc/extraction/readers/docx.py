"""Word documents: the paragraphs, tables and notes of the main text, streamed out of the zip."""

import posixpath
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, BinaryIO

from lxml import etree

from knowledge_svc.extraction.limits import Limits
from knowledge_svc.extraction.parts import (
    Given,
    Part,
    Text,
    Title,
    broken,
    encrypted,
    too_much,
)

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MOST_MEMBERS = 20_000
_IS_MAIN = "/officeDocument"
_BREAKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
# Text that was moved away, and what stands in for a shape where it cannot be drawn.
_LEFT_OUT = frozenset({"Fallback", "moveFrom", "del"})


def read(file: BinaryIO, given: Given) -> Iterator[Part]:
    """See Reader."""
    head = file.read(len(_OLE))
    file.seek(0)
    if head == _OLE:
        if "EncryptedPackage".encode("utf-16-le") in file.read():
            raise encrypted("it opens with a password only")
        raise broken("it is of an older format than its name says")
    try:
        with zipfile.ZipFile(file) as archive:
            yield from _read(_Archive(archive, given.limits))
    except (zipfile.BadZipFile, EOFError) as error:
        raise broken("it is no zip archive, or a damaged one") from error
    except etree.XMLSyntaxError as error:
        raise broken("its XML is damaged") from error


class _Archive:
    """Members of a zip, with what may be unpacked of it counted."""

    def __init__(self, archive: zipfile.ZipFile, limits: Limits) -> None:
        self._archive = archive
        self._left = limits.unpacked_bytes
        members = archive.infolist()
        declared = sum(member.file_size for member in members)
        if declared > limits.unpacked_bytes:
            raise too_much(f"it unpacks to {declared} bytes; {limits.unpacked_bytes} are allowed")
        if len(members) > _MOST_MEMBERS:
            raise too_much(f"it has {len(members)} parts; at most {_MOST_MEMBERS} are allowed")
        if any(member.flag_bits & 1 for member in members):
            raise encrypted("it opens with a password only")

    def __contains__(self, name: str) -> bool:
        return name in self._archive.NameToInfo

    def elements(self, name: str) -> Iterator[tuple[str, etree._Element]]:
        """Starts and ends of the elements of an XML member; entities are left alone."""
        with self._archive.open(name) as member:
            events = etree.iterparse(
                _Counted(member, self._take), events=("start", "end"), resolve_entities=False,
                load_dtd=False, no_network=True, remove_comments=True, remove_pis=True,
            )  # fmt: skip
            for number, (event, element) in enumerate(events):
                if number == 0 and element.getroottree().docinfo.doctype:
                    raise broken("its XML has a document type, which Word never writes")
                if isinstance(element.tag, str):
                    yield event, element

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise too_much("it unpacks to more than it says")


class _Counted:
    """A file that tells how much is read of it."""

    def __init__(self, file: IO[bytes], take: Callable[[int], None]) -> None:
        self._file = file
        self._take = take

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._take(len(block))
        return block


def _read(archive: _Archive) -> Iterator[Part]:
    main = _main_part(archive)
    if "docProps/core.xml" in archive:
        for event, element in archive.elements("docProps/core.xml"):
            if event == "end" and _name(element) == "title":
                yield Title(element.text or "")
    folder = posixpath.dirname(main)
    for name in (main, f"{folder}/footnotes.xml", f"{folder}/endnotes.xml"):
        if name in archive:
            yield from _Paragraphs().texts(archive.elements(name))


def _main_part(archive: _Archive) -> str:
    if "_rels/.rels" in archive:
        for _, element in archive.elements("_rels/.rels"):
            if element.get("Type", "").endswith(_IS_MAIN):
                return str(element.get("Target", "")).lstrip("/")
    raise broken("it is no Word document")


class _Paragraphs:
    """Paragraphs as lines, rows of tables as lines with tabs."""

    def __init__(self) -> None:
        # A paragraph may have others inside, in a text box.
        self._open: list[list[str]] = []
        self._cells = 0
        self._left_out = 0

    def texts(self, elements: Iterator[tuple[str, etree._Element]]) -> Iterator[Text]:
        for event, element in elements:
            name = _name(element)
            if name in _LEFT_OUT:
                self._left_out += 1 if event == "start" else -1
            elif event == "start":
                self._begin(name)
            elif text := self._end(name, element):
                yield Text(text)
            if event == "end" and name in ("r", "p", "tr"):
                _forget(element)

    def _begin(self, name: str) -> None:
        if name == "p":
            self._open.append([])
        elif name == "tc":
            self._cells += 1

    def _end(self, name: str, element: etree._Element) -> str:
        if name == "tc":
            self._cells -= 1
        elif name == "tr":
            return "\n"
        elif name == "p":
            return "".join(self._open.pop()) + ("\t" if self._cells else "\n")
        elif self._open and not self._left_out:
            if name == "t":
                self._open[-1].append(element.text or "")
            elif name in _BREAKS and _is_in_run(element):
                self._open[-1].append(_BREAKS[name])
        return ""


def _name(element: etree._Element) -> str:
    return str(etree.QName(element).localname)


def _is_in_run(element: etree._Element) -> bool:
    # A tab may also be a position in a paragraph's properties.
    parent = element.getparent()
    return parent is not None and _name(parent) == "r"


def _forget(element: etree._Element) -> None:
    """Free an element that was read, and those before it."""
    element.clear(keep_tail=False)
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]
