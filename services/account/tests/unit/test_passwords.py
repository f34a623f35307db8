"""Passwords without a database."""

import asyncio

import pytest

from petpro_account.passwords import Passwords, Verdict
from petpro_common.errors import Overloaded


@pytest.fixture
def passwords() -> Passwords:
    return Passwords()


async def test_a_password_is_known_by_its_hash(passwords: Passwords) -> None:
    stored = await passwords.hash("kucing-oranye")
    assert await passwords.check(stored, "kucing-oranye") == Verdict(is_right=True)
    assert await passwords.check(stored, "kucing-hitam") == Verdict(is_right=False)


async def test_nobody_has_a_password(passwords: Passwords) -> None:
    assert await passwords.check(None, "kucing-oranye") == Verdict(is_right=False)


@pytest.mark.parametrize("stored", ["", "!", "erased"])
async def test_what_is_no_hash_fits_no_password(passwords: Passwords, stored: str) -> None:
    assert await passwords.check(stored or "!", "") == Verdict(is_right=False)


async def test_a_flood_is_turned_away_and_the_rest_is_served(passwords: Passwords) -> None:
    answers = await asyncio.gather(*(passwords.hash("kucing-oranye") for _ in range(60)), return_exceptions=True)
    turned_away = [answer for answer in answers if isinstance(answer, Overloaded)]
    assert len(turned_away) == 20
    assert await passwords.hash("kucing-oranye")


async def test_a_fingerprint_is_the_same_for_the_same_password_and_salt_alone(passwords: Passwords) -> None:
    first = await passwords.fingerprint("kucing-oranye", "sari-registers")
    assert first == await passwords.fingerprint("kucing-oranye", "sari-registers")
    assert first != await passwords.fingerprint("kucing-hitam", "sari-registers")
    assert first != await passwords.fingerprint("kucing-oranye", "budi-registers")
