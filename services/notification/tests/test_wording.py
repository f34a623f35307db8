"""What people read: every type in every language, whatever is known."""

from datetime import UTC, datetime
from typing import Any

import pytest

from petpro_common.ids import new_id
from petpro_notification.domain import TryAgain, Type, merged, outcome_of, pause_after
from petpro_notification.senders.calendar_entry import calendar_entry
from petpro_notification.store import Due, Names
from petpro_notification.wording import Wording, Words

pytestmark = pytest.mark.unit

FACTS = {
    "booking_id": str(new_id()),
    "reference_code": "PP-7KQ2MX9D",
    "slot_date": "2026-12-01",
    "slot_time": "09:30",
    "amount": "150000.00",
    "paid_amount": "150000.00",
    "refund_amount": "75000.50",
    "currency": "IDR",
    "reason": "PAYMENT_TIMED_OUT",
}
BARE = {name: FACTS[name] for name in ("reference_code", "slot_date", "slot_time", "amount")}
SATWA = Names("Klinik Satwa", "Asia/Jakarta", "Vaksinasi", 30)


@pytest.mark.parametrize("language", ["en", "id"])
@pytest.mark.parametrize("type_", Type)
@pytest.mark.parametrize(("facts", "names"), [(FACTS, SATWA), (BARE, Names())])
def test_every_type_has_words(language: str, type_: Type, facts: dict[str, str], names: Names) -> None:
    words = Wording(language).words(type_, facts, names)
    assert words.title
    assert words.content
    assert "None" not in words.title + words.content
    assert "\n\n\n" not in words.content


def test_indonesians_read_rupiah_and_dates_as_they_write_them() -> None:
    words = Wording("id").words(Type.BOOKING_CONFIRMED, FACTS, SATWA)
    assert "Selasa, 01 Desember 2026 pukul 09.30" in words.content
    assert "Rp150.000." in words.content


@pytest.mark.parametrize(
    ("price", "paid", "english", "indonesian"),
    [
        ("150000.00", "150000.00", " You paid IDR 150,000.", " Anda sudah membayar Rp150.000."),
        ("150000.00", "0.00", " You pay IDR 150,000 at the clinic.", " Anda membayar Rp150.000 di klinik."),
        ("0.00", "0.00", "", ""),
        ("150000.00", None, "", ""),  # as told by a version that does not say what was paid
    ],
)
def test_who_pays_at_the_clinic_is_not_told_that_they_have_paid(
    price: str, paid: str | None, english: str, indonesian: str
) -> None:
    facts = {**BARE, "amount": price, "paid_amount": paid, "currency": "IDR"}
    for language, said in (
        ("en", f"Your appointment is booked for Tuesday, 1 December 2026 at 09:30.{english}"),
        ("id", f"Janji temu Anda dijadwalkan pada Selasa, 01 Desember 2026 pukul 09.30.{indonesian}"),
    ):
        words = Wording(language).words(Type.BOOKING_CONFIRMED, facts, Names())
        assert words.content.replace("\N{NO-BREAK SPACE}", " ").split("\n\n")[0] == said


def test_a_fraction_is_shown_where_there_is_one() -> None:
    words = Wording("en").words(Type.BOOKING_CANCELLED, FACTS, SATWA)
    assert "IDR\N{NO-BREAK SPACE}75,000.50" in words.content


@pytest.mark.parametrize(("back", "is_told"), [("60000.00", True), ("0.00", False), (None, False)])
def test_who_did_not_come_reads_what_comes_back(back: str | None, is_told: bool) -> None:
    for language, sign in (("en", "IDR\N{NO-BREAK SPACE}60,000"), ("id", "Rp60.000")):
        words = Wording(language).words(Type.BOOKING_NO_SHOW, {**BARE, "refund_amount": back, "currency": "IDR"}, SATWA)
        assert (sign in words.content) == is_told


@pytest.mark.parametrize(
    ("paid", "back", "is_told"),
    [
        ("150000.00", "0.00", True),
        ("0.00", "0.00", False),
        ("150000.00", "75000.00", False),
        (None, "0.00", True),  # as told by a version that does not say what was paid
    ],
)
def test_only_who_has_paid_reads_that_nothing_is_paid_back(paid: str | None, back: str, is_told: bool) -> None:
    facts = {
        **BARE,
        "paid_amount": paid,
        "refund_amount": back,
        "currency": "IDR",
        "cancellation_reason": "Dr Sari is ill",
    }
    for language, said in (("en", "nothing is paid back"), ("id", "tidak ada dana yang dikembalikan")):
        words = Wording(language).words(Type.BOOKING_CANCELLED, facts, SATWA)
        assert (said in words.content) == is_told
        assert "Dr Sari is ill" in words.content


def test_a_title_is_one_line_that_fits() -> None:
    words = Wording("en").words(Type.BOOKING_CANCELLED, FACTS, Names(clinic="Klinik\r\nSatwa " * 40))
    assert "\n" not in words.title
    assert len(words.title) <= 255


def test_names_are_text_and_no_markup() -> None:
    letter = Wording("en").letter(Words("Hello", "<script>"), "Siti <b>")
    assert "<script>" not in letter.html
    assert "Siti &lt;b&gt;" in letter.html
    assert "Siti <b>" in letter.text


def due(type_: Type, **facts: Any) -> Due:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    booking_id = new_id()
    return Due(new_id(), "email", 1, new_id(), new_id(), booking_id, type_, "", "", {**FACTS, **facts}, now, Names())


def test_a_calendar_gets_the_clinics_own_time() -> None:
    entry = calendar_entry(due(Type.BOOKING_CONFIRMED), SATWA, "hello@petpro.example")
    assert entry is not None
    assert entry.method == "PUBLISH"
    assert "DTSTART:20261201T023000Z\r\n" in entry.text
    assert "DTEND:20261201T030000Z\r\n" in entry.text


@pytest.mark.parametrize("names", [SATWA, Names("Klinik Satwa")])
def test_a_visit_ends_in_the_calendar_when_its_slot_does_whatever_the_service_takes_now(names: Names) -> None:
    told = {"starts_at": "2026-12-01T03:30:00+00:00", "ends_at": "2026-12-01T04:30:00+00:00"}
    entry = calendar_entry(due(Type.BOOKING_CONFIRMED, **told), names, "hello@petpro.example")
    assert entry is not None
    assert "DTSTART:20261201T033000Z\r\nDTEND:20261201T043000Z\r\n" in entry.text


def test_a_move_of_which_a_release_before_tells_the_local_time_alone_leaves_no_other_instants() -> None:
    told = {**FACTS, "starts_at": "2026-12-01T02:30:00+00:00", "ends_at": "2026-12-01T03:30:00+00:00"}
    moved = merged(told, {"slot_date": "2026-12-02", "slot_time": "10:00"})
    assert not {"starts_at", "ends_at"} & moved.keys()
    assert merged(told, {"reason": "ill", "starts_at": None}) == {**told, "reason": "ill"}
    entry = calendar_entry(due(Type.BOOKING_RESCHEDULED, **moved), SATWA, "hello@petpro.example")
    assert entry is not None
    assert "DTSTART:20261202T030000Z\r\nDTEND:20261202T033000Z\r\n" in entry.text


def test_a_cancelled_booking_leaves_the_calendar() -> None:
    entry = calendar_entry(due(Type.BOOKING_CANCELLED), SATWA, "hello@petpro.example")
    assert entry is not None
    assert entry.method == "CANCEL"
    assert "STATUS:CANCELLED\r\n" in entry.text


def test_long_lines_are_folded_between_characters() -> None:
    names = Names("診療所" * 30, "Asia/Tokyo", "a;b,c\\d", 30)
    entry = calendar_entry(due(Type.BOOKING_CONFIRMED), names, "hello@petpro.example")
    assert entry is not None
    assert all(len(line.encode()) <= 75 for line in entry.text.split("\r\n"))
    assert "診療所" * 30 in entry.text.replace("\r\n ", "")
    assert "SUMMARY:a\\;b\\,c\\\\d\r\n" in entry.text


@pytest.mark.parametrize("names", [Names(), Names(timezone="Nowhere/At_All")])
def test_without_a_zone_there_is_no_entry(names: Names) -> None:
    assert calendar_entry(due(Type.BOOKING_CONFIRMED), names, "hello@petpro.example") is None


def test_pauses_grow_to_an_hour() -> None:
    assert [pause_after(tries, 2.0) for tries in (1, 2, 3, 12, 500)] == [2, 4, 8, 3600, 3600]


def test_the_last_try_is_the_last() -> None:
    assert outcome_of(TryAgain("TimeoutError"), 19, 20).status == "pending"
    assert outcome_of(TryAgain("TimeoutError"), 20, 20).status == "failed"
