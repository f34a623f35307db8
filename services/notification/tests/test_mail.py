"""What a mail is made of, whatever names and texts hold."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest

from petpro_common.ids import new_id
from petpro_notification.directory import Person
from petpro_notification.domain import Type
from petpro_notification.mail import Post
from petpro_notification.settings import Settings
from petpro_notification.store import Due, Names
from petpro_notification.wording import Words

pytestmark = pytest.mark.unit

LONGEST_LINE = 998
"""Octets that mail servers take, without the end of the line (RFC 5321, 4.5.3.1.6)."""


@pytest.fixture
def post() -> Post:
    told = {"smtp_host": "127.0.0.1", "smtp_port": 25, "language": "en"}
    told["mail_from"] = "Klinik Ünal <hello@petpro.example>"
    return Post(Settings.model_construct(**told))  # type: ignore[arg-type]  # of all kinds


def _mail(post: Post, words: Words, name: str) -> bytes:
    now = datetime.now(UTC)
    due = Due(new_id(), "email", 0, new_id(), new_id(), None, Type.BOOKING_CANCELLED, "", "", {}, now, Names())
    return post.compose(due, words, Names(), Person("siti@example.com", name, wants_email=True))


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
