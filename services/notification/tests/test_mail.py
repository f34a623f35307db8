"""What a mail is made of, whatever names and texts hold."""

from datetime import UTC, datetime
from email import message_from_bytes, message_from_string, policy
from email.header import decode_header, make_header
from email.utils import getaddresses

import idna
import pytest
from aiosmtplib.email import parse_address
from email_validator import EmailNotValidError, validate_email
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from petpro_common.ids import new_id
from petpro_notification.directory import Person
from petpro_notification.domain import MUST_BE_TOLD, TITLE_LENGTH, Type
from petpro_notification.senders.headers import wire_address
from petpro_notification.senders.mail import Post
from petpro_notification.settings import Settings
from petpro_notification.store import Due, Names
from petpro_notification.wording import Words

pytestmark = pytest.mark.unit

LONGEST_LINE = 998
"""Octets that mail servers take, without the end of the line (RFC 5321, 4.5.3.1.6)."""


HEADERS = {"Content-Type", "MIME-Version", "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"}
LONGEST_NAME = 255
"""Characters of a person's name, as account takes it."""
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=LONGEST_NAME)
LABEL = st.text(st.characters(categories=("L", "Nd")), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def post() -> Post:
    told = {"smtp_host": "127.0.0.1", "smtp_port": 25, "language": "en"}
    told["mail_from"] = "Klinik Ünal <hello@petpro.example>"
    return Post(Settings.model_construct(**told))  # type: ignore[arg-type]  # of all kinds


def _mail(
    post: Post,
    words: Words,
    name: str,
    email: str = "siti@example.com",
    type_: Type = Type.BOOKING_CANCELLED,
    *,
    is_verified: bool = True,
) -> bytes:
    now = datetime.now(UTC)
    due = Due(new_id(), "email", 0, new_id(), new_id(), None, type_, "", "", {}, now, Names())
    return post.compose(due, words, Names(), Person(email, name, frozenset(), is_verified=is_verified))


@st.composite
def _addresses(draw: st.DrawFn) -> str:
    """Addresses of any script, as account keeps them."""
    local = ".".join(draw(st.lists(LABEL, min_size=1, max_size=3)))
    domain = ".".join(draw(st.lists(LABEL, min_size=1, max_size=3)))
    try:
        return validate_email(f"{local}@{domain}.example.com", check_deliverability=False).normalized
    except EmailNotValidError:
        assume(False)
        raise


def _decoded(header: str) -> str:
    return str(make_header(decode_header(header.replace("\r\n", ""))))


@given(TEXT, _addresses(), TEXT)
@example("\N{GRINNING FACE}" * LONGEST_NAME, "用户@例子.广告", "\N{CAT FACE}" * TITLE_LENGTH)
@example("a, b; " * 40, "jürgen@straße.example", "x " * 120)
@example("=?utf-8?q?Bcc=3A?= x", "siti@example.com", "=?utf-8?b?eA==?= y")
@example('\N{RIGHT-TO-LEFT OVERRIDE}"Siti\\", <x@y>', "дерек@екзампл.укр", "\N{HEBREW LETTER ALEF}: x")
@example("", "siti@例子.广告", "")
def test_who_reads_the_mail_finds_name_address_and_title_whatever_they_hold(
    post: Post, name: str, email: str, title: str
) -> None:
    name, title = " ".join(name.split()), " ".join(title.split())
    raw = _mail(post, Words(title, "…"), name, email)
    assert max(map(len, raw.split(b"\r\n"))) <= LONGEST_LINE
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert raw.isascii() == email.rpartition("@")[0].isascii()
    read = message_from_string(raw.decode())
    assert {*read.keys()} == HEADERS
    ((shown, address),) = getaddresses([read["To"].replace("\r\n", "")])
    assert (_decoded(shown), _decoded(read["Subject"])) == (name, title)
    assert parse_address(wire_address(email)) == address == wire_address(email)
    local, _, domain = address.rpartition("@")
    assert f"{local}@{idna.decode(domain)}" == email
    assert domain.encode() == idna.encode(email.rpartition("@")[2])


@pytest.mark.parametrize("sender", ["PetPro", "PetPro <hello@örnek.example>", "grüße@petpro.example", ""])
def test_mails_come_from_an_address_that_every_mail_server_knows(sender: str) -> None:
    with pytest.raises(ValidationError, match="mail_from must hold an address"):
        Settings.model_validate({"mail_from": sender})


@pytest.mark.parametrize("name", ["password_reset_page", "email_verification_page"])
@pytest.mark.parametrize("page", ["http://petpro.example/new-password", "https://petpro.example/#/new-password", ""])
def test_the_token_of_a_mail_is_told_to_the_app_alone(page: str, name: str) -> None:
    with pytest.raises(ValidationError, match=rf"{name}\n +String should match"):
        Settings.model_validate({name: page})


def test_no_line_is_longer_than_mail_servers_take(post: Post) -> None:
    raw = _mail(post, Words("T" * 255, "a" * 5000), "S" * 255)
    assert max(map(len, raw.splitlines())) <= LONGEST_LINE
    read = message_from_bytes(raw, policy=policy.default)
    for kind in ("plain", "html"):
        body = read.get_body((kind,))
        assert body is not None
        assert "a" * 5000 in body.get_content()


def test_names_of_any_script_arrive_and_leave_addresses_alone(post: Post) -> None:
    raw = _mail(post, Words("Kunjungan selesai, terima kasih, çok teşekkürler", "…"), 'Siti "Ünal", Aminah')
    assert raw.isascii()
    read = message_from_bytes(raw, policy=policy.default)
    assert read["Subject"] == "Kunjungan selesai, terima kasih, çok teşekkürler"
    (sender,), (recipient,) = read["From"].addresses, read["To"].addresses
    assert (sender.display_name, sender.addr_spec) == ("Klinik Ünal", "hello@petpro.example")
    assert (recipient.display_name, recipient.addr_spec) == ('Siti "Ünal", Aminah', "siti@example.com")


@pytest.mark.parametrize(
    ("type_", "is_verified"), [*((type_, True) for type_ in MUST_BE_TOLD), *((type_, False) for type_ in Type)]
)
def test_a_mail_that_goes_unwanted_or_perhaps_to_another_has_no_words_of_whoever_gave_the_address(
    post: Post, type_: Type, is_verified: bool
) -> None:
    name = "You have won https://x.example"
    mail = message_from_bytes(_mail(post, Words("Title", "Content"), name, type_=type_, is_verified=is_verified))
    text, html = (part.get_payload(decode=True) for part in mail.walk() if part.get_content_maintype() == "text")
    assert mail["To"] == "siti@example.com"
    assert isinstance(text, bytes)
    assert isinstance(html, bytes)
    assert b"x.example" not in text + html
    assert text.decode().startswith("Hello,")
