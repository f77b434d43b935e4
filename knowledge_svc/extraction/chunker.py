"""How large chunks are, and the word for it."""

# About 150 words: few enough that one thought is not drowned in the mean of a text that an
# embedding is, and enough that BM25 meets several of a question's words in one chunk.
CHARACTERS = 1_000
# A sentence or two: what stands on a border is whole in one of the two.
OVERLAP = 150
# The last part counts what changes chunks besides: how text is read, and how it is cut.
CHUNKER = f"sentences-{CHARACTERS}-{OVERLAP}-1"
