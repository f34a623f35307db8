"""How long an SMS is. Each part costs the price of one.

A part holds 160 characters of the GSM alphabet (3GPP TS 23.038, 6.2.1; those of its extension count twice), or 70
UTF-16 units when a single character is of another script. Where parts are put together each gives some up to say so:
153 and 67 are left.
"""

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWICE = frozenset("\f^{}\\[~]|€")
_PLAIN = str.maketrans(
    {
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{HORIZONTAL ELLIPSIS}": "...",
    }
)
_CUT = "..."


def fitted(text: str, most_parts: int) -> str:
    """The text as one line, in so many parts at most; of a longer one its beginning, up to the end of a word.

    Signs that only look different are written as the GSM alphabet has them: one of them would double the price.
    """
    line = " ".join(text.translate(_PLAIN).split())
    is_gsm = _GSM.union(_GSM_TWICE).issuperset(line)
    room = _room(most_parts, *((160, 153) if is_gsm else (70, 67)))
    if sum(_cost(sign, is_gsm=is_gsm) for sign in line) <= room:
        return line
    return _beginning(line, room - len(_CUT), is_gsm=is_gsm) + _CUT


def _room(most_parts: int, alone: int, put_together: int) -> int:
    """No sign lies in two parts: one that counts twice may leave the end of a part empty."""
    return alone if most_parts == 1 else put_together * most_parts - (most_parts - 1)


def _cost(sign: str, *, is_gsm: bool) -> int:
    if is_gsm:
        return 2 if sign in _GSM_TWICE else 1
    return 2 if ord(sign) > 0xFFFF else 1


def _beginning(line: str, room: int, *, is_gsm: bool) -> str:
    """Whole words, unless the first alone is too long."""
    length = 0
    for sign in line:
        room -= _cost(sign, is_gsm=is_gsm)
        if room < 0:
            break
        length += 1
    words, _, _ = line[: length + 1].rpartition(" ")
    return words or line[:length]
