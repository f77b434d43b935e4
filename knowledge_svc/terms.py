"""The words that keyword search goes by: text in any script to terms, for items and queries alike.

Words are folded (NFKC, case, and diacritics where a script can do without them). An English
word counts as written and by its stem. Scripts that put no space between words give pairs of
neighbouring characters; emoji are terms, with their parts.
"""

import hashlib
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import snowballstemmer

from knowledge_svc.domain.items import Terms

# What takes a thread some twenty milliseconds at most, in characters of ASCII. Others take several
# times as long, and of one letter there may come as many as eighteen.
_QUICK_CHARACTERS = 20_000
_COST_BEYOND_ASCII = 8

LONGEST_TERM = 64  # characters; of a longer word its beginning and a hash stand for it
MOST_QUERY_TERMS = 64

# A term, and whether it is weak: too common to search by, unless there is nothing else.
Token = tuple[str, bool]


def are_long(texts: Iterable[str]) -> bool:
    """Whether to find their terms in a thread, since the loop has others to answer."""
    cost = sum(len(text) * (1 if text.isascii() else _COST_BEYOND_ASCII) for text in texts)
    return cost > _QUICK_CHARACTERS


def terms_of(text: str) -> Terms:
    """The terms that an item is found by."""
    counts: Counter[str] = Counter()
    total = 0
    for words, tokens in _tokenised(text):
        total += words
        counts.update(term for term, _ in tokens)
    names = sorted(counts)
    return Terms(names, [min(counts[name], _MOST_COUNT) for name in names], total)


def query_terms(text: str) -> list[str]:
    """The terms to look for: the strong ones, or where there are none all of them.

    Of a word's forms only the stem is asked for: one that counts under two terms would weigh
    twice what another does.
    """
    tokens = [token for _, tokens in _tokenised(text, _asked) for token in tokens]
    strong = dict.fromkeys(term for term, weak in tokens if not weak)
    return list(strong or dict.fromkeys(term for term, _ in tokens))[:MOST_QUERY_TERMS]


def is_common(term: str) -> bool:
    """Whether a term is an English word too common to mean anything by itself."""
    return term in _STOP_WORDS


# A smallint; BM25 saturates long before.
_MOST_COUNT = 32_767

_ENGLISH = """
    a about after again all also am an and any are as at be because been before being but by
    can could did do does doing don down during each few for from further had has have having he
    her here hers him his how i if in into is it its itself just ll me more most my no nor not now
    of off on once only or other our ours out over own re s same she should so some such t than
    that the their theirs them then there these they this those through to too under until up us
    ve very was we were what when where which while who whom why will with would you your yours
    im dont didnt doesnt isnt wasnt arent youre theyre thats whats ive ill
"""
_STOP_WORDS = frozenset(_ENGLISH.split())


def _marks_and_symbols() -> tuple[str, str, dict[int, str]]:
    """Character classes that `re` has no names for, and the table of foreign digits."""
    marks, symbols, digits = [], [], {}
    for code in range(0x80, 0x20000):
        character = chr(code)
        category = unicodedata.category(character)
        if category in {"Mn", "Mc", "Me"}:
            marks.append(character)
        elif category in {"So", "Sm", "Sc"}:
            symbols.append(character)
        elif category == "Nd":
            digits[code] = str(unicodedata.decimal(character))
    return "".join(marks), "".join(symbols), digits


_MARKS, _SYMBOLS, _DIGITS = _marks_and_symbols()
_SKIN = "\U0001f3fb-\U0001f3ff"
_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = (
    "\u3031-\u3035\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31f0-\u31ff"
)
_HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb"
# Thai, Lao, Burmese, Khmer and their kin: no spaces between words, marks above and below.
_SPACELESS = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecf\u0edc-\u0edf\u1000-\u103f\u1050-\u109d\u1780-\u17d3"
    "\u1950-\u19c9\u1a20-\u1a7c\u1b00-\u1b4b\ua980-\ua9c0\uaa60-\uaa7b"
)
_OTHERS = rf"(?:(?![{_HAN}{_KANA}{_HANGUL}{_SPACELESS}])[^\W_]|[{_MARKS}])"
_PICTURE = rf"[{_SYMBOLS}][{_SKIN}\U000e0020-\U000e007f]*"
_NUMBER = r"[0-9]+(?:[.,:][0-9]+)+(?![^\W_])"

_ASCII_TOKEN = re.compile(rf"{_NUMBER}|[a-z0-9]+(?:'[a-z0-9]+)*")
_TOKEN = re.compile(
    rf"(?P<number>{_NUMBER})"
    rf"|(?P<joined>[{_HAN}{_KANA}]+)"
    rf"|(?P<spaceless>[{_SPACELESS}]+)"
    rf"|(?P<hangul>[{_HANGUL}]+)"
    rf"|(?P<word>{_OTHERS}+(?:['\u2019]{_OTHERS}+)*)"
    rf"|(?P<emoji>[\U0001f1e6-\U0001f1ff]{{2}}|{_PICTURE}(?:\u200d{_PICTURE})*)"
)
_CLUSTER = re.compile(rf"[^{_MARKS}][{_MARKS}]*|[{_MARKS}]+")
_IS_HAN = re.compile(f"[{_HAN}]")
_BARE_PICTURE = re.compile(rf"(?![\U0001f1e6-\U0001f1ff])[{_SYMBOLS}]")

# Soft hyphens, and the selectors that say how to draw a character, not which one it is.
_INVISIBLE = dict.fromkeys([0xAD, 0xFE0E, 0xFE0F])
# Letters that no decomposition takes apart, and the spellings that Arabic writers mix.
_FOLDED = str.maketrans({
    "ø": "o", "đ": "d", "ł": "l", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d",
    "ـ": None, "ة": "ه", "ى": "ي",
})  # fmt: skip
_ARABIC_ARTICLE = re.compile("^[وبفك]?ال(?=.{3})")

_STEMMER = snowballstemmer.stemmer("english")
_STEMMER_LOCK = threading.Lock()  # a stemmer holds the word it is at


def _tokenised(
    text: str, of_word: Callable[[str], tuple[Token, ...]] | None = None
) -> Iterator[tuple[int, Sequence[Token]]]:
    """Stretch by stretch, in order: how many words it counts for, and the terms it gives."""
    of_word = of_word or _of_word
    if text.isascii():
        for word in _ASCII_TOKEN.findall(text.lower()):
            yield 1, of_word(word)
        return
    text = unicodedata.normalize("NFKC", text.translate(_INVISIBLE)).casefold()
    text = unicodedata.normalize("NFKC", text).translate(_DIGITS)
    for match in _TOKEN.finditer(text):
        word = match.group()
        match match.lastgroup:
            case "joined" | "spaceless":
                clusters = _CLUSTER.findall(word)
                yield len(clusters), _of_run(clusters)
            case "hangul":
                yield 1, [*_bounded(word), *_pairs(word)] if len(word) > 2 else _bounded(word)
            case "emoji":
                yield 1, _of_emoji(word)
            case _:
                yield 1, of_word(word)


def _of_run(clusters: Sequence[str]) -> Sequence[Token]:
    """Pairs of neighbours; a Chinese character is also a term of its own."""
    if len(clusters) == 1:
        return _bounded(clusters[0])
    return [*_pairs(clusters), *((c, True) for c in clusters if _IS_HAN.match(c))]


def _pairs(clusters: Sequence[str]) -> Iterator[Token]:
    for first, second in pairwise(clusters):
        yield from _bounded(first + second)


def _of_emoji(emoji: str) -> tuple[Token, ...]:
    """The emoji as it is, and its parts without the tones of their skin."""
    parts = dict.fromkeys(_BARE_PICTURE.findall(emoji))
    return (*_bounded(emoji), *((part, False) for part in parts if part != emoji))


def _of_word(word: str) -> tuple[Token, ...]:
    """The terms of a word with spaces around it, of a number or of a word with apostrophes."""
    return _remembered(word) if len(word) <= LONGEST_TERM else _analysed(word)


def _analysed(word: str) -> tuple[Token, ...]:
    terms: dict[str, bool] = {}
    for part in _parts(word):
        for form in (part, _ARABIC_ARTICLE.sub("", part), _stem(part)):
            for term, _ in _bounded(form):
                terms.setdefault(term, part in _STOP_WORDS)
    return tuple(terms.items())


def _asked(word: str) -> tuple[Token, ...]:
    """One term for each part of a word that is asked for; the word as a whole if it has none."""
    whole, *parts = _parts(word)
    is_number = whole == word  # 10:30 is found as it stands.
    return tuple(
        (term, part in _STOP_WORDS)
        for part in ([whole] if is_number or not parts else parts)
        for term, _ in _bounded(_stem(_ARABIC_ARTICLE.sub("", part)))
    )


def _parts(word: str) -> list[str]:
    """A word, folded, and what it is made of: don't -> dont, don; l'amour -> lamour, amour."""
    if not word.isascii():
        word = _folded(word)
    parts = re.split("['\u2019]", word)
    if len(parts) > 1:
        return ["".join(parts), *(part for part in parts if len(part) > 1)]
    if re.search("[.,:]", word):
        return [word, *re.split("[.,:]", word)]
    return [word]


_remembered = lru_cache(maxsize=100_000)(_analysed)


def _stem(word: str) -> str:
    if not (word.isascii() and word.isalpha() and 2 < len(word) <= LONGEST_TERM):
        return word
    with _STEMMER_LOCK:
        return str(_STEMMER.stemWord(word))


def _folded(word: str) -> str:
    """Without diacritics, where they are not part of the letter: up to and with Arabic."""
    if any("\u0900" <= character < "\u1e00" or character >= "\u2000" for character in word):
        return word
    decomposed = unicodedata.normalize("NFKD", word)
    bare = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
    return bare.translate(_FOLDED) or word


def _bounded(term: str) -> tuple[Token, ...]:
    """The term, or what stands for it where it is too long; none for none."""
    if len(term) <= LONGEST_TERM:
        return ((term, False),) if term else ()
    digest = hashlib.blake2b(term.encode(), digest_size=12).hexdigest()
    return ((f"{term[:32]}~{digest}", False),)
