"""Names and other texts that strangers give and others read: whether there is something to see, and in the order in
which it stands."""

import unicodedata

_SEEN = frozenset("LNPS")
"""Letters, numbers, punctuation and symbols; the others are space, marks on a letter, and what has no shape."""
_BLANK = frozenset("\N{HANGUL CHOSEONG FILLER}\N{HANGUL JUNGSEONG FILLER}\N{HANGUL FILLER}"
                   "\N{HALFWIDTH HANGUL FILLER}\N{BRAILLE PATTERN BLANK}")  # fmt: skip
"""Letters and a symbol without a shape."""
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Of Unicode's bidirectional classes those that order others. Marks (U+200E, U+200F) do not, and Arabic needs them."""


def is_seen(text: str) -> bool:
    """Whether something of it can be seen."""
    return any(unicodedata.category(each)[0] in _SEEN and each not in _BLANK for each in text)


def turns(text: str) -> bool:
    """Whether it holds characters that turn around how it, and what stands behind it on its line, is shown."""
    return not text.isascii() and any(unicodedata.bidirectional(each) in _TURNS for each in text)
