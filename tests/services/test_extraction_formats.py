"""A sentence from the middle of a file comes out of it, with the place where it stands."""

from pathlib import Path

import pytest

from knowledge_svc.extraction.limits import Limits
from knowledge_svc.extraction.readers import DOCX
from tests.support.extraction import extracted
from tests.support.files import (
    a_docx,
    a_docx_of,
    a_markdown,
    a_pdf,
    a_scanned_pdf,
    an_html,
)

_FILLER = [
    f"Paragraph {number} says little. It is here so that there is a beginning and an end. "
    "Some of its words are in every other one too."
    for number in range(60)
]
_SENTENCE = "The lighthouse keeper counted eleven ships before dawn."
_PARAGRAPHS = [*_FILLER[:30], f"Nothing happened at first. {_SENTENCE} Then it rained.", *_FILLER]


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (a_docx(_PARAGRAPHS, title="The log"), DOCX),
        (an_html(_PARAGRAPHS, title="The log"), "text/html"),
        (a_markdown("The log", _PARAGRAPHS), "text/markdown"),
        ("\n\n".join(_PARAGRAPHS).encode(), "text/plain"),
    ],
    ids=["docx", "html", "markdown", "plain"],
)
async def test_a_sentence_is_found_whole_and_in_its_place(
    content: bytes, media_type: str, tmp_path: Path
) -> None:
    found = await extracted(content, media_type, tmp_path)

    chunk = found.having(_SENTENCE.split()[5])
    assert _SENTENCE in chunk.content.replace("\n", " ")
    assert chunk.page is None
    assert 0.25 < chunk.start / found.outline.characters < 0.4
    assert chunk.end - chunk.start == len(chunk.content) <= 1000
    assert found.outline.title == ("The log" if media_type != "text/plain" else None)
    assert [chunk.number for chunk in found.chunks] == list(range(found.outline.chunks))


async def test_a_sentence_of_a_pdf_is_found_with_its_page(tmp_path: Path) -> None:
    pages = [" ".join(_FILLER[:20]), "", f"{_FILLER[0]} {_SENTENCE}", _FILLER[1]]

    found = await extracted(a_pdf(pages, title="The log"), "application/pdf", tmp_path)

    chunk = found.having("lighthouse")
    assert (chunk.page, chunk.start) == (3, 0)
    assert _SENTENCE in chunk.content.replace("\n", " ")
    assert (found.outline.pages, found.outline.title) == (4, "The log")
    assert {chunk.page for chunk in found.chunks} == {1, 3, 4}


_SENTENCES = [
    "Der Bär fährt über die Brücke und grüßt.",
    "Вчера мы ходили в лес за грибами.",
    "שלום וברוך הבא לביתנו החדש",
    "مرحبا بكم في بيتنا الجديد",
    "今天天气很好。我们去公园散步吧！",
    "今日はとても良い天気ですね。散歩に行きましょう。",
    "ประเทศไทยเป็นประเทศที่สวยงามมาก",
    "오늘 날씨가 아주 좋네요. 산책하러 갑시다.",
    "See you at the beach 🏖️ with the family 👨‍👩‍👧 tomorrow 😀",
]


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (a_pdf(_SENTENCES), "application/pdf"),
        (a_docx(_SENTENCES), DOCX),
        (an_html(_SENTENCES), "text/html"),
        (a_markdown("Scripts", _SENTENCES), "text/markdown"),
        ("\n".join(_SENTENCES).encode(), "text/plain"),
    ],
    ids=["pdf", "docx", "html", "markdown", "plain"],
)
async def test_every_script_comes_out(content: bytes, media_type: str, tmp_path: Path) -> None:
    found = await extracted(content, media_type, tmp_path)

    for sentence in _SENTENCES:
        assert found.having(sentence)


@pytest.mark.parametrize(
    ("encoding", "sentence"),
    [
        ("utf-8-sig", "Crème brûlée for everyone"),
        ("utf-16", "Crème brûlée for everyone"),
        ("utf-16-le", "Plain words without a mark in front"),
        ("utf-16-be", "Plain words without a mark in front"),
        ("utf-32", "Crème brûlée 😀"),
        ("cp1252", "Le café était très bon, où êtes-vous allés hier soir?"),
        ("cp1251", "Привет, как дела? Сегодня хорошая погода."),
        ("cp932", "今日はとても良い天気ですね。公園に散歩に行きましょう。"),
        ("gb18030", "今天天气很好。我们去公园散步吧！你觉得怎么样？"),
        ("cp1255", "שלום עולם, היום מזג האוויר יפה מאוד"),
    ],
)
async def test_text_is_read_in_the_encoding_it_has(
    encoding: str, sentence: str, tmp_path: Path
) -> None:
    # What gives the encoding away may come late.
    content = ("Word. " * 20_000 if encoding == "cp1252" else "") + f"{sentence}\n" * 20

    found = await extracted(content.encode(encoding), "text/plain", tmp_path)

    assert sentence in found.chunks[-1].content


async def test_a_web_page_is_read_as_it_is_seen(tmp_path: Path) -> None:
    page = an_html(["Rain &amp; shine", "Über Wasser"], title="Weather", charset="iso-8859-1")

    found = await extracted(page, "text/html", tmp_path)

    assert [chunk.content for chunk in found.chunks] == ["Weather\nRain &amp; shine\nÜber Wasser"]


async def test_what_word_hides_or_repeats_is_read_once(tmp_path: Path) -> None:
    document = """<w:document
        xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"
        xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><w:body>
        <w:p><w:pPr><w:tabs><w:tab w:val="left"/></w:tabs></w:pPr>
          <w:r><w:t>One</w:t><w:tab/><w:t>two</w:t><w:br/><w:t>three</w:t></w:r>
          <w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>
          <w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom>
          <w:r><w:instrText>PAGE 1</w:instrText></w:r></w:p>
        <w:p><mc:AlternateContent><mc:Choice><w:p><w:r><w:t>In a box</w:t></w:r></w:p></mc:Choice>
          <mc:Fallback><w:p><w:r><w:t>In a box</w:t></w:r></w:p></mc:Fallback>
          </mc:AlternateContent></w:p>
        </w:body></w:document>"""

    found = await extracted(a_docx_of(document.encode()), DOCX, tmp_path)

    assert found.chunks[0].content == "One\ttwo\nthree\nIn a box"


async def test_rows_of_tables_stay_together(tmp_path: Path) -> None:
    word = a_docx(["Prices"], table=[["Tea", "3 €"], ["Cake", "5 €"]])
    markdown = b"| What | Price |\n|---|---|\n| Tea | 3 |\n| Cake | 5 |\n"

    from_word = await extracted(word, DOCX, tmp_path)
    from_markdown = await extracted(markdown, "text/markdown", tmp_path)

    assert from_word.chunks[0].content == "Prices\nTea\t3 €\t\nCake\t5 €"
    assert from_markdown.chunks[0].content == "What\tPrice\t\nTea\t3\t\nCake\t5"


async def test_a_word_goes_on_in_the_next_line_of_a_pdf(tmp_path: Path) -> None:
    page = "An impor-\ntant word of the twenty-\nFirst line."

    found = await extracted(a_pdf([page]), "application/pdf", tmp_path)

    assert found.chunks[0].content == "An important word of the twenty-First line."


async def test_markdown_longer_than_a_section_loses_nothing(tmp_path: Path) -> None:
    sections = [f"# Part {n:02}\n\n" + "Words of it. " * 2_000 for n in range(40)]

    found = await extracted("\n\n".join(sections).encode(), "text/markdown", tmp_path)

    for number in range(40):
        assert found.having(f"Part {number:02}")
    assert found.outline.title == "Part 00"


async def test_scanned_pages_are_read_by_an_ocr_that_is_put_in(tmp_path: Path) -> None:
    found = await extracted(
        a_scanned_pdf(2), "application/pdf", tmp_path, Limits(), ocr="tests.support.ocr"
    )

    assert [(chunk.page, chunk.content) for chunk in found.chunks] == [
        (1, "A picture of 1653 × 2339"),
        (2, "A picture of 1653 × 2339"),
    ]
