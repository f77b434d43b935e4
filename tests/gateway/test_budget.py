"""A budget is divided so that it is never exceeded, and little of it is left unused."""

from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gateway.flows.budget import Piece, Section, divided
from gateway.flows.tokens import estimate

SAMPLES = {
    "english": "I moved to Lisbon last week, and I love it. My sister's birthday is on Friday.",
    "chat": "lol yeah idk tbh!! gonna b there @ 8pm?? thx :) btw whats ur addr again",
    "code": "def f(x: int) -> list[int]:\n    return [y ** 2 for y in range(x) if y % 3]\n",
    "json": '{"person_id": "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f30", "score": 0.8731}',
    "numbers": "4711 0815 1234567890 2026-03-01T09:30:00Z +351 910 000 000",
    "german": "Ich bin letzte Woche nach München gezogen; größere Überraschungen gibt's später.",
    "polish": "Przeprowadziłam się do Łodzi w zeszłym tygodniu i bardzo mi się tu podoba.",
    "vietnamese": "Tuần trước tôi đã chuyển đến Hà Nội và tôi rất thích nơi này, nhất là phở bò.",
    "turkish": "Geçen hafta İstanbul'a taşındım ve burayı çok seviyorum.",
    "russian": "На прошлой неделе я переехала в Лиссабон, и мне очень нравится.",
    "greek": "Μετακόμισα στη Λισαβόνα την περασμένη εβδομάδα και μου αρέσει πολύ.",
    "arabic": "انتقلت إلى لشبونة الأسبوع الماضي، وأنا أحبها كثيراً.",
    "hebrew": "עברתי לליסבון בשבוע שעבר ואני מאוד אוהבת את זה.",
    "hindi": "मैं पिछले हफ्ते लिस्बन चली गई और मुझे यह बहुत पसंद है।",
    "thai": "ฉันย้ายไปลิสบอนเมื่อสัปดาห์ที่แล้วและฉันชอบมันมาก",
    "chinese": "我上周搬到了里斯本，我很喜欢那里。我妹妹的生日是星期五。",
    "japanese": "先週リスボンに引っ越しました。とても気に入っています。",
    "korean": "지난주에 리스본으로 이사했는데 정말 마음에 들어요.",
    "emoji": "🎉🎂😀👍🏽👨‍👩‍👧❤️🍜 party!!! 🥳",
    "amharic": "ባለፈው ሳምንት ወደ ሊዝበን ተዛወርኩ",
}
TEXTS = [*SAMPLES.values(), "a", " ", "\n", "# heading\n", "word word"]

NAMES = ("profile", "memories", "messages", "knowledge")


def piece(name: str, words: int, **more: str) -> Piece:
    return Piece(name, "word " * words, **more)


def section(name: str, share: int, *words: int, is_run: bool = False) -> Section:
    pieces = [piece(f"{name} {n}", count) for n, count in enumerate(words)]
    return Section(name, share, "# A heading\n", pieces, is_run)


@st.composite
def piles(draw: st.DrawFn) -> list[Section]:
    """Sections of pieces of any size, some of which are of one source or hang on another."""
    piled = []
    for name, share in zip(NAMES, (10, 25, 30, 35), strict=True):
        pieces: list[Piece] = []
        for n in range(draw(st.integers(0, 12))):
            parent = f"{name} {draw(st.integers(0, n))}" if draw(st.booleans()) else None
            source = draw(st.none() | st.sampled_from([f"event {k}" for k in range(6)]))
            text = draw(st.sampled_from(TEXTS)) * draw(st.sampled_from([1, 1, 5, 40]))
            pieces.append(Piece(f"{name} {n}", text, source, parent))
        piled.append(Section(name, share, f"# {name}\n", pieces, name == "messages"))
    return piled


@settings(max_examples=100, deadline=None)
@given(piles(), st.integers(1, 3000))
def test_a_budget_is_never_exceeded(sections: list[Section], budget: int):
    taken = divided(sections, budget)

    assert divided(sections, budget) == taken
    assert sum(one.tokens for one in taken.values()) <= budget
    texts, sources = [], []
    for one in sections:
        by_name = {piece.name: piece for piece in one.pieces}
        chosen = [by_name[name] for name in taken[one.name].names]
        assert taken[one.name].tokens == sum(piece.tokens for piece in chosen) + (
            estimate(one.heading) if chosen else 0
        )
        sources += [piece.source for piece in chosen if piece.source]
        names = [piece.name for piece in chosen]
        assert all(p.parent is None or p.parent in names[: names.index(p.name)] for p in chosen)
        texts += [one.heading, *(piece.text for piece in chosen)] if chosen else []
    assert estimate("".join(texts)) <= budget
    assert len(sources) == len(set(sources)), "of one source one is taken"


def test_what_a_section_leaves_over_goes_to_the_others():
    sections = [section("a", 50, 5), section("b", 50, *[10] * 100)]

    taken = divided(sections, 1000)

    assert len(taken["a"].names) == 1
    assert 1000 - sum(one.tokens for one in taken.values()) < 40


def test_what_those_behind_leave_over_comes_back():
    sections = [section("a", 10, *[10] * 100), section("b", 90, 5)]

    taken = divided(sections, 1000)

    assert sum(one.tokens for one in taken.values()) > 950


def test_a_run_has_no_gaps_and_steps_over_what_is_too_large_for_it_alone():
    words = (5, 5000, 5, 60, 1)

    run = divided([section("a", 100, *words, is_run=True)], 100)["a"]
    pile = divided([section("a", 100, *words)], 100)["a"]

    assert run.names == ("a 0", "a 2")
    assert (run.left_out, pile.left_out) == (3, 2)
    assert pile.names == ("a 0", "a 2", "a 4")


def test_with_enough_budget_everything_is_there():
    sections = [section(name, 25, *range(1, 30)) for name in NAMES]

    taken = divided(sections, 200_000)

    assert all(one.left_out == 0 and len(one.names) == 29 for one in taken.values())


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """That of the local embedder: one of 32,000 pieces, which makes many tokens."""
    file = resources.files("wordllama") / "tokenizers" / "l2_supercat_tokenizer_config.json"
    return Tokenizer.from_str(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", SAMPLES)
def test_an_estimate_is_seldom_too_low_and_never_badly(language: str, tokenizer: Tokenizer):
    text = SAMPLES[language]
    tokens = len(tokenizer.encode(text, add_special_tokens=False).ids)

    assert 0.85 * tokens <= estimate(text) <= 1.7 * tokens


def test_the_parts_are_never_fewer_than_the_whole():
    text = " ".join(SAMPLES.values())

    assert estimate(text) <= sum(estimate(part) for part in text.split(".")) + text.count(".")
    assert estimate("") == 0
