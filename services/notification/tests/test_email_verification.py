"""The mail by which a person shows that an address is theirs, and what goes to an address before they have."""

import pytest

from petpro.catalog.v1 import catalog_pb2
from petpro_common.ids import new_id
from petpro_common.testing import logged
from services.notification.tests.conftest import SATWA, VACCINATION, World, confirmed, status
from services.notification.tests.test_password_reset import bodies

PAGE = "https://app.petpro.example/verify-email"
SPAM = "You have won, see https://x.example"


async def signed_up(world: World, *wishes: str) -> str:
    """Somebody who calls themselves so gave Siti's address as theirs; the id of the verification."""
    somebody, verification_id = new_id(), str(new_id())
    fields = {"wishes": wishes, "verification_status": "unverified"}
    world.account.add(somebody, "siti@example.com", SPAM, **fields)
    world.account.verifications.add(verification_id)
    await world.tell("user.email_verification_requested", user_id=str(somebody), verification_id=verification_id)
    return verification_id


async def test_the_mail_has_the_link_whatever_is_wanted_and_nothing_else_has(world: World) -> None:
    await signed_up(world)
    with logged() as lines:
        async with world.mail.up():
            await world.deliveries().deliver_due()
    ((mail,), (token,)) = world.mail.mails, world.account.tokens
    plain, html = bodies(mail)
    assert (mail["Subject"], mail["To"]) == ("Confirm your e-mail address", "siti@example.com")
    assert plain.startswith("Hello,")
    assert f"\n\n{PAGE}#token={token}\n\n" in plain
    assert f'<a href="{PAGE}#token={token}">{PAGE}#token={token}</a>' in html
    assert "x.example" not in plain + html
    tables = await world.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    kept = [await world.rows(f"SELECT t::text FROM {table.tablename} AS t") for table in tables]  # noqa: S608
    assert "Confirm your e-mail address" in str(kept)
    assert token not in str(kept)
    assert token not in str(lines)


async def test_a_verification_that_is_over_sends_no_mail(world: World) -> None:
    world.account.verifications.remove(await signed_up(world))
    async with world.mail.up():
        await world.deliveries().deliver_due()
    assert not world.mail.mails
    assert await status(world) == ("suppressed", "out of date")


async def test_an_account_that_cannot_make_tokens_yet_is_asked_again(world: World) -> None:
    await signed_up(world)
    world.account.is_older = True
    async with world.mail.up():
        await world.deliveries().deliver_due()
        assert await status(world) == ("pending", "AioRpcError")
        world.account.is_older = False
        await world.make_due()
        await world.deliveries().deliver_due()
    assert await status(world) == ("sent", None)
    assert len(world.mail.mails) == 1


@pytest.mark.parametrize("is_known", [True, False])
async def test_what_a_clinic_and_its_services_are_called_goes_to_nobody_who_may_not_have_asked(
    world: World, is_known: bool
) -> None:
    """Whoever gives a stranger's address may own the clinic, too."""
    mallory, verification_status = new_id(), "verified" if is_known else "unverified"
    world.account.add(mallory, "siti@example.com", SPAM, verification_status=verification_status)
    clinic, service = str(SATWA), str(VACCINATION)
    world.catalog.clinics[clinic] = catalog_pb2.Clinic(id=clinic, name=SPAM, timezone="Asia/Jakarta", version=1)
    world.catalog.services[service] = catalog_pb2.Service(
        id=service, clinic_id=clinic, name=SPAM, duration_minutes=30, version=1
    )
    at = {"user_id": str(mallory), "service_id": service, "slot_date": "2026-12-01", "slot_time": "09:30"}
    await world.tell("booking.confirmed", **confirmed(mallory, new_id()))
    await world.tell("reservation.expired", **at, reservation_id=str(new_id()))
    await world.tell("reservation.approval_requested", **at, owner_id=str(mallory), reservation_id=str(new_id()))
    async with world.mail.up():
        assert await world.deliveries().deliver_due() == 3
    for mail in world.mail.mails:
        entries = [entry.get_content() for entry in mail.iter_attachments()]
        assert ("x.example" in "".join([mail["Subject"], *bodies(mail), *entries])) == is_known
    [calendar] = [entry.get_content() for mail in world.mail.mails for entry in mail.iter_attachments()]
    assert [f"{line}:You have won" in calendar for line in ("SUMMARY", "LOCATION")] == [is_known] * 2
    assert "DTSTART:20261201T023000Z" in calendar, "when it is, is said all the same"
    told = await world.rows("SELECT content FROM notifications")
    assert [SPAM in each.content for each in told] == [True] * 3, "in the app it says where"


@pytest.mark.parametrize("is_known", [True, False])
async def test_what_a_person_calls_themselves_and_gives_as_a_reason_goes_to_their_own_address_alone(
    world: World, is_known: bool
) -> None:
    mallory, booking_id = new_id(), new_id()
    verification_status = "verified" if is_known else "unverified"
    world.account.add(mallory, "siti@example.com", "Siti Aminah", verification_status=verification_status)
    fields = {"user_id": str(mallory), "booking_id": str(booking_id), "refund_amount": "0.00"}
    await world.tell("booking.confirmed", **confirmed(mallory, booking_id))
    await world.tell("booking.cancelled", **fields, paid_amount="0.00", cancellation_reason=SPAM)
    async with world.mail.up():
        assert await world.deliveries().deliver_due() == 2
    mails = {mail["Subject"]: mail for mail in world.mail.mails}
    assert mails.keys() == {"Your booking is confirmed", "Your booking is cancelled"}
    for mail in mails.values():
        for body in bodies(mail):
            assert ("Siti Aminah" in body) == is_known
            assert "PP-7KQ2MX9D" in body, "what PetPro itself says is said all the same"
    said = "".join(bodies(mails["Your booking is cancelled"]))
    assert (SPAM in said) == is_known
    [told] = await world.rows("SELECT content FROM notifications WHERE type = 'booking_cancelled'")
    assert SPAM in told.content, "in the app it is their own"
