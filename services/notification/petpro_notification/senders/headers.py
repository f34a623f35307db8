"""People, addresses and titles of any script as the headers of a mail hold them; none can begin a header of its own.

Words are written in ASCII (RFC 2047), and so is a domain (IDNA). What stands before the @ has no ASCII form: a mail to
such an address holds it as UTF-8 (RFC 6532), and only servers that offer SMTPUTF8 take it.
"""

from email.header import Header
from email.utils import quote


def wire_address(address: str) -> str:
    """An address of account's as mail servers take it. Account keeps domains valid, composed and in lower case: what
    is left of IDNA is Punycode, label by label."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{'.'.join(map(_a_label, domain.split('.')))}"


def _a_label(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode').decode()}"


def words(text: str, header: str) -> str:
    """One line of text for a header of that name; encoded unless every reader takes it as it is."""
    if _is_plain(text):
        return text
    return Header(text, "utf-8", header_name=header).encode(linesep="\r\n")


def mailbox(name: str, address: str, header: str) -> str:
    """A person and their `wire_address`, for a header of that name."""
    name = " ".join(name.split())
    if not name:
        return _raw(address)
    shown = f'"{quote(name)}"' if _is_plain(name) else words(name, header)
    return _raw(f"{shown} <{address}>")


def _is_plain(text: str) -> bool:
    """Whether it is ASCII that nobody could take for encoded words."""
    return text.isascii() and text.isprintable() and "=?" not in text


def _raw(text: str) -> str:
    """As `email` keeps octets that it shall write as they are: what is not ASCII would be encoded."""
    return text.encode().decode("ascii", "surrogateescape")
