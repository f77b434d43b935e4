"""How many tokens a text may be to a language model: by script, without any model's tokenizer.

The weights are those of a tokenizer of 32,000 pieces that falls back to bytes (Llama 2's), rounded
up; those with larger vocabularies make fewer tokens of the same text. So the estimate is seldom too
low: of a text in a natural language, code or JSON by an eighth at most, of random letters by half.
"""

from collections import Counter

# Hundredths of a token for a character, by the range that it is in; behind the last a character is
# worth as many tokens as it has bytes.
_RANGES = (
    (0x0020, 100),  # control characters, line breaks
    (0x0021, 12),  # a space is mostly part of the next word
    (0x0030, 85),  # punctuation
    (0x003A, 125),  # digits, which break up what they stand in
    (0x0041, 85),
    (0x005B, 45),  # capital letters
    (0x0061, 85),
    (0x007B, 33),  # small letters
    (0x0080, 85),
    (0x0370, 220),  # Latin letters with marks, and the rarer pieces around them
    (0x0400, 110),  # Greek
    (0x0530, 50),  # Cyrillic
    (0x0590, 200),  # Armenian
    (0x0700, 118),  # Hebrew, Arabic
    (0x0900, 200),
    (0x0980, 145),  # Devanagari
    (0x0E00, 300),  # other scripts of India
    (0x0E80, 120),  # Thai
    (0x1E00, 300),
    (0x1F00, 200),  # more Latin letters, those of Vietnamese among them
    (0x2000, 250),
    (0x2070, 100),  # typographical punctuation
    (0x3000, 300),
    (0x3040, 120),
    (0x3100, 130),  # kana
    (0x3400, 300),
    (0xA000, 160),  # Chinese characters
    (0xAC00, 300),
    (0xD7B0, 175),  # Hangul
    (0xFF00, 300),
    (0xFFF0, 120),  # full-width forms
)


def _weight(character: str) -> int:
    code = ord(character)
    for end, weight in _RANGES:
        if code < end:
            return weight
    return 100 * len(character.encode())


class _Weights(dict[str, int]):
    def __missing__(self, character: str) -> int:
        weight = _weight(character)
        if len(self) < 10_000:
            self[character] = weight
        return weight


_WEIGHTS = _Weights()


def estimate(text: str) -> int:
    """So many tokens, rounded up: the parts of a text are never fewer than the whole."""
    hundredths = sum(_WEIGHTS[character] * n for character, n in Counter(text).items())
    return -(-hundredths // 100)
