"""Real files through the whole service and the real processes: found again, or told why not."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import pytest

from kith.knowledge.v1 import knowledge_service_pb2 as pb
from knowledge_svc.extraction.limits import Limits
from knowledge_svc.extraction.process import ProcessExtractor
from tests.support import files
from tests.support.cluster import Database
from tests.support.documents import FAILED, SUCCEEDED, DocumentClient, document_service
from tests.support.knowledge import refusal

PARAGRAPHS = [
    *(f"On day {n} the harbour was quiet and nobody wrote anything down." for n in range(40)),
    "The walrus of Trondheim juggles marmalade jars.",
    *(f"On day {n} the gulls came back to the roof of the fish hall." for n in range(40, 80)),
]
QUESTION = "walrus marmalade"
SAID = [
    ("Ada", "Shall we begin with the harbour?"),
    ("Ben", "The walrus of Trondheim juggles marmalade jars."),
    ("Ada", "Then let us end here."),
]
VTT = (
    b"WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ada>Shall we begin with the harbour?\n\n"
    b"01:05.000 --> 01:09.000\n<v Ben>The walrus of Trondheim juggles marmalade jars.\n"
)


@dataclass(frozen=True)
class Good:
    """A file with a sentence about a walrus in its middle, and what is known of its place."""

    filename: str
    content: bytes
    media_type: str
    page: int = 0
    speaker: str = ""
    seconds: float = 0.0


GOOD = [
    Good(
        "a.pdf", files.a_pdf(["The first page.", "\n".join(PARAGRAPHS[35:46]), "The last."]),
        "application/pdf", page=2,
    ),
    Good(
        "a.docx", files.a_docx(["# Log", *PARAGRAPHS]),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    Good("a.html", files.an_html(PARAGRAPHS), "text/html"),
    Good("a.md", files.a_markdown("Log", PARAGRAPHS), "text/markdown"),
    Good("a.txt", "\n\n".join(PARAGRAPHS).encode(), "text/plain"),
    Good("a.json", files.a_conversation(SAID), "application/json", speaker="Ben"),
    Good("a.vtt", VTT, "text/vtt", speaker="Ben"),
]  # fmt: skip
BAD = [
    ("locked.pdf", files.an_encrypted_pdf(), "ENCRYPTED"),
    ("locked.docx", files.an_encrypted_docx(), "ENCRYPTED"),
    ("half.pdf", files.a_truncated_pdf(), "BROKEN"),
    ("scan.pdf", files.a_scanned_pdf(), "NO_TEXT"),
    ("bomb.docx", files.a_zip_bomb_docx(), "TOO_MUCH"),
]


@pytest.fixture
async def service(database: Database) -> AsyncIterator[DocumentClient]:
    async with document_service(database, extractor=ProcessExtractor(Limits())) as running:
        yield running


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.filename)
async def test_a_sentence_from_the_middle_is_found_where_it_stands(
    service: DocumentClient, file: Good
):
    document = await service.read(file.content, filename=file.filename)

    assert (document.state, document.failure_reason) == (SUCCEEDED, "")
    assert (document.indexed, document.media_type) == (True, file.media_type)
    hit = await first_hit(service)
    assert "marmalade" in hit.item.content
    assert hit.item.document_id == document.document_id
    place = hit.item.place
    assert place.page == file.page
    assert place.end - place.start == len(hit.item.content)
    if file.speaker:
        assert file.speaker in place.speakers
    else:
        assert 0 < place.chunk_number < document.chunks - 1
    assert await service.download(document.document_id) == file.content


async def first_hit(service: DocumentClient) -> pb.SearchHit:
    """As callers search: by words and meaning."""
    answer = await service.knowledge.SearchKnowledge(pb.SearchKnowledgeRequest(query=QUESTION))
    return answer.hits[0]


@pytest.mark.parametrize(("filename", "content", "reason"), BAD, ids=[bad[0] for bad in BAD])
async def test_a_file_without_text_says_why_and_is_given_back(
    service: DocumentClient, filename: str, content: bytes, reason: str
):
    document = await service.read(content, filename=filename)

    assert (document.state, document.failure_reason) == (FAILED, reason)
    assert document.failure_detail
    assert not document.indexed
    assert await service.found("page whole file walrus") == []
    assert await service.download(document.document_id) == content


async def test_a_program_that_is_called_a_pdf_is_refused(service: DocumentClient):
    code, reason, bad = await refusal(service.upload(files.an_exe(), filename="report.pdf"))

    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MEDIA_TYPE_MISMATCH")
    assert bad == ["document.filename"]
    assert await service.list(include_earlier_versions=True) == []
