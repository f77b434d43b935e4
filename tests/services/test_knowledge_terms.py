"""What words keyword search goes by."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge_svc.terms import LONGEST_TERM, MOST_QUERY_TERMS, query_terms, terms_of


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("running dogs", "a dog runs"),
        ("Café Straße", "CAFE STRASSE"),
        ("naïve", "naive"),
        ("İstanbul", "istanbul"),
        ("ΟΔΟΣ", "οδός"),
        ("ёлка", "елка"),
        ("ｆｕｌｌ ｗｉｄｔｈ", "full"),
        ("ﬁne", "fine"),
        ("don't worry", "dont worry"),
        ("l’amour", "amour"),
        ("my mother's house", "mother"),
        ("user_name", "name"),
        ("at 10:30", "10:30"),
        ("٣٤", "34"),
        ("我喜欢猫咪", "猫"),
        ("我喜欢猫咪", "喜欢"),
        ("iPhone手机", "手机"),
        ("コーヒーを飲む", "コーヒー"),
        ("학교에서", "학교"),
        ("สวัสดีครับ", "สวัสดี"),
        ("والكتاب", "كتاب"),
        ("مُحَمَّد", "محمد"),
        ("שָׁלוֹם", "שלום"),
        ("हिन्दी में", "हिन्दी"),
        ("👍🏽", "👍"),
        ("👍", "👍🏽"),
        ("❤️", "❤"),
        ("👩‍👩‍👧", "👧"),
        ("🇩🇪", "🇩🇪"),
        ("1️⃣", "1️⃣"),
        ("soft\u00adhyphen", "softhyphen"),
        ("what is it", "is it"),
        ("€ 5", "€"),
    ],
)
def test_what_means_the_same_word_shares_a_term(said, asked):
    assert set(terms_of(said).names) & set(query_terms(asked))


@pytest.mark.parametrize(
    ("said", "asked"), [("🇩🇪", "🇪🇸"), ("university", "house"), ("猫", "犬"), ("x" * 100, "x" * 99)]
)
def test_what_does_not_shares_none(said, asked):
    assert not set(terms_of(said).names) & set(query_terms(asked))


def test_terms_are_counted_in_order():
    terms = terms_of("Tea, tea and more TEA with milk")

    assert list(terms.names) == sorted(terms.names)
    assert dict(zip(terms.names, terms.counts, strict=True))["tea"] == 3
    assert terms.total == 7


def test_common_words_are_asked_for_only_when_there_is_nothing_else():
    assert query_terms("what is the name of it") == ["name"]
    assert query_terms("what is it") == ["what", "is", "it"]
    assert query_terms("…!?") == []


def test_a_long_word_is_found_exactly_and_kept_short():
    [term] = terms_of("x" * 5000).names

    assert len(term) <= LONGEST_TERM
    assert query_terms("x" * 5000) == [term]
    assert query_terms("x" * 4999) != [term]


def test_a_query_asks_for_no_more_terms_than_are_looked_for():
    assert len(query_terms(" ".join(f"word{n}" for n in range(2000)))) == MOST_QUERY_TERMS


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_terms_that_can_be_stored_and_found_again(text):
    terms = terms_of(text)

    assert len(terms.names) == len(terms.counts) == len(set(terms.names))
    assert all(0 < len(name) <= LONGEST_TERM for name in terms.names)
    assert all(0 < count <= 32_767 for count in terms.counts)
    assert set(query_terms(text)) <= set(terms.names)
    assert bool(query_terms(text)) == bool(terms.names)
    assert terms_of(text) == terms
