"""Becoming a user of PetPro."""

import asyncio

import grpc
import pytest
from grpc import aio
from sqlalchemy import text

from petpro.account.v1 import account_pb2 as pb
from services.account.tests.people import PASSWORD, AccountService, refusal

NOT_ADDRESSES = [
    "sari",
    "sari@",
    "@petpro.example",
    "sari@localhost",
    "sari@petpro",
    "sari..dewi@petpro.example",
    "sari dewi@petpro.example",
    "sari@petpro.example.",
    "sari@-petpro.example",
    "sari@petpro.example, budi@petpro.example",
    "Sari <sari@petpro.example>",
    "sari@pet_pro.example",
    "sari\x00@petpro.example",
    "sari@[127.0.0.1]",
]
ADDRESSES = [
    "sari+kucing@petpro.example",
    "o'neil@petpro.example",
    "s@a.id",
    "drh.wayan_2@klinik.co.id",
    "sari@klinik-hewan.museum",
    "用户@例子.广告",
    "sari@xn--fsqu00a.xn--4rr70v",
]


async def test_a_person_registers_and_reads_their_profile(account: AccountService) -> None:
    sari = await account.person("sari@petpro.example", phone_number="0812-3456-7890", full_name="  Sari Dewi ")
    profile = (await account.accounts.GetCurrentUser(pb.GetCurrentUserRequest(), metadata=sari.headers)).user
    assert profile == sari.user
    assert profile.full_name == "Sari Dewi"
    assert profile.phone_number == "+6281234567890"
    assert profile.role == pb.ROLE_CUSTOMER
    assert profile.notification_prefs == pb.NotificationPrefs(email=True, push=True, sms=False)
    assert (profile.account_status, profile.verification_status) == ("active", "unverified")


@pytest.mark.parametrize("address", NOT_ADDRESSES)
async def test_what_is_no_address_is_refused(account: AccountService, address: str) -> None:
    with pytest.raises(aio.AioRpcError) as fault:
        await account.register(address)
    assert refusal(fault.value).violations == ["email"]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_unusual_addresses_are_addresses(account: AccountService, address: str) -> None:
    await account.register(address)
    assert (await account.sign_in(address)).access_token


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("sari@petpro.example", "sari@petpro.example"),
        ("Sari@PetPro.Example", "sARI@petpro.example"),
        ("sari@例.com", "sari@xn--fsq.com"),
        ("caf\u00e9@petpro.example", "cafe\u0301@petpro.example"),
        ("ÉMILE@petpro.example", "émile@petpro.example"),
        ("sari@petpro.example", " sari@petpro.example "),
    ],
)
async def test_another_spelling_of_an_address_is_the_same_address(
    account: AccountService, first: str, second: str
) -> None:
    await account.register(first)
    with pytest.raises(aio.AioRpcError) as fault:
        await account.register(second)
    assert refusal(fault.value).code is grpc.StatusCode.ALREADY_EXISTS
    assert refusal(fault.value).reason == "EMAIL_TAKEN"
    assert (await account.sign_in(second)).access_token


async def test_of_two_who_register_one_address_at_once_one_gets_it(account: AccountService) -> None:
    spellings = ["sari@petpro.example", "SARI@petpro.example", "Sari@petpro.example", "sARI@petpro.example"]
    replies = await asyncio.gather(*(account.register(address) for address in spellings), return_exceptions=True)
    refusals = [refusal(reply).reason for reply in replies if isinstance(reply, aio.AioRpcError)]
    assert refusals == ["EMAIL_TAKEN"] * 3


@pytest.mark.parametrize("phone", ["12345", "+62", "kucing", "+6281", "+999123456789", "0800-CALL-SARI-NOW"])
async def test_a_number_that_nobody_can_have_is_refused(account: AccountService, phone: str) -> None:
    with pytest.raises(aio.AioRpcError) as fault:
        await account.register("sari@petpro.example", phone_number=phone)
    assert refusal(fault.value).violations == ["phone_number"]


@pytest.mark.parametrize("password", ["", "short", "ninechars", "x" * 201])
async def test_a_password_too_short_or_too_long_is_refused(account: AccountService, password: str) -> None:
    with pytest.raises(aio.AioRpcError) as fault:
        await account.register("sari@petpro.example", password=password)
    assert refusal(fault.value).violations == ["password"]


async def test_everything_that_is_wrong_is_told_at_once(account: AccountService) -> None:
    with pytest.raises(aio.AioRpcError) as fault:
        await account.register("nobody", phone_number="12345", full_name=" \t ", role=pb.ROLE_ADMIN)
    assert refusal(fault.value).violations == ["email", "full_name", "phone_number", "role"]


async def test_a_clinics_people_register_by_themselves_and_administrators_do_not(account: AccountService) -> None:
    wayan = await account.register("drh.wayan@petpro.example", role=pb.ROLE_CLINIC)
    assert wayan.role == pb.ROLE_CLINIC
    with pytest.raises(aio.AioRpcError) as fault:
        await account.register("admin@petpro.example", role=pb.ROLE_ADMIN)
    assert refusal(fault.value).violations == ["role"]


async def test_the_same_registration_sent_twice_happens_once(account: AccountService) -> None:
    first = await account.register("sari@petpro.example", request_id="sari-registers")
    again = await account.register("sari@petpro.example", request_id="sari-registers")
    assert again == first


async def test_a_request_id_is_refused_for_another_password(account: AccountService) -> None:
    await account.register("sari@petpro.example", request_id="sari-registers")
    with pytest.raises(aio.AioRpcError) as fault:
        await account.register("sari@petpro.example", request_id="sari-registers", password="another-password")
    assert refusal(fault.value).reason == "REQUEST_ID_REUSED"


async def test_neither_password_nor_personal_data_leaves_in_events(account: AccountService) -> None:
    sari = await account.register("sari@petpro.example", request_id="sari-registers")
    async with account.database.transaction() as tx:
        events = (await tx.execute(text("SELECT subject, convert_from(payload, 'UTF8') FROM outbox ORDER BY id"))).all()
        verification_id = (await tx.execute(text("SELECT id FROM email_verifications"))).scalar_one()
        stored = (await tx.execute(text("SELECT password_hash FROM users"))).scalar_one()
    assert [tuple(event) for event in events] == [
        ("petpro.events.user.registered", f'{{"event_type":"user.registered","user_id":"{sari.id}"}}'),
        (
            "petpro.events.user.email_verification_requested",
            f'{{"event_type":"user.email_verification_requested","user_id":"{sari.id}",'
            f'"verification_id":"{verification_id}"}}',
        ),
    ]
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in stored
