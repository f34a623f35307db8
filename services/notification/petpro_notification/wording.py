"""Words: templates in the language of the settings, dates and money as that language writes them.

A template's first line is the title; what follows the blank line is the content.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from functools import lru_cache
from typing import Any

from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_decimal
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from petpro_notification.domain import TITLE_LENGTH, Type
from petpro_notification.store import Names

# Rupiah are "Rp150.000" to Indonesians, and "IDR 150,000" (with a no-break space) to others.
_LANGUAGES = {"en": ("en_GB", "¤¤\N{NO-BREAK SPACE}"), "id": ("id_ID", "¤")}
_KEPT = 1000  # days, times and amounts, as they were written: the same come again
_FACTS = (
    "reference_code",
    "slot_date",
    "slot_time",
    "amount",
    "paid_amount",
    "refund_amount",
    "refund_status",
    "currency",
    "reason",
    "cancellation_reason",
)


@dataclass(frozen=True)
class Words:
    """What a person reads. A title is one line of at most 255 characters."""

    title: str
    content: str
    link: str = ""
    """Stands in the mail below the content, and nowhere else: it may be a secret."""


@dataclass(frozen=True)
class Letter:
    """The body of a mail, twice: as text and as HTML."""

    text: str
    html: str


class Wording:
    """The templates of one language."""

    def __init__(self, language: str) -> None:
        locale, currency_sign = _LANGUAGES[language]
        self._language = language
        self._templates = Environment(
            loader=PackageLoader("petpro_notification"),
            auto_reload=False,
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.clear()  # none is used, and each time all are copied
        filters: dict[str, Callable[..., str]] = {
            "day": lambda value: format_date(date.fromisoformat(value), "full", locale),
            "clock": lambda value: format_time(time.fromisoformat(value), "short", locale=locale),
            "money": lambda value, currency: _money(Decimal(value), currency, currency_sign, locale),
        }
        self._templates.filters.update({name: lru_cache(_KEPT)(write) for name, write in filters.items()})
        self._templates.tests["positive"] = lambda value: value is not None and Decimal(value) > 0

    def words(self, type_: Type, facts: Mapping[str, Any], names: Names) -> Words:
        """What to say; a name that is not known is left out."""
        known = {name: facts.get(name) for name in _FACTS}
        text = self._template(f"{type_}.txt").render(**known, clinic=names.clinic, service=names.service)
        title, _, content = text.strip().partition("\n")
        return Words(_one_line(title)[:TITLE_LENGTH], content.strip())

    def letter(self, words: Words, person_name: str) -> Letter:
        """A mail that says `words` to a person, who need not be named."""
        said = f"{words.content}\n\n{words.link}" if words.link else words.content
        text = self._template("mail.txt").render(name=_one_line(person_name), content=said)
        paragraphs = [_one_line(paragraph) for paragraph in text.split("\n\n")]
        html = self._templates.get_template("mail.html")
        known = {"language": self._language, "title": words.title, "link": words.link}
        return Letter(text, html.render(**known, paragraphs=paragraphs))

    def sms(self, words: Words) -> str:
        """An SMS that says `words`, as long as they are."""
        return str(self._template("sms.txt").render(content=words.content or words.title))

    def _template(self, name: str) -> Any:
        return self._templates.get_template(f"{self._language}/{name}")


def _money(amount: Decimal, currency: str | None, pattern: str, locale: str) -> str:
    """The amount with its currency; with a fraction only where there is one, as people write rupiah."""
    digits = "#,##0" if amount == amount.to_integral_value() else "#,##0.00"
    if currency is None:
        return str(format_decimal(amount, digits, locale))
    return str(format_currency(amount, currency, f"{pattern}{digits}", locale, currency_digits=False))


def _one_line(text: str) -> str:
    return " ".join(text.split())
