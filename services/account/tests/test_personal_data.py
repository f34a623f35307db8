"""A person is told what account holds of them, page by page; nobody else is."""

from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc import aio

from petpro.personal.v1 import personal_pb2 as pb
from services.account.tests.people import AccountService, Headers, refusal
from services.account.tests.test_operations import with_role

SARI, BUDI = "sari@petpro.example", "budi@petpro.example"


async def export(account: AccountService, headers: Headers, **asked: Any) -> list[pb.PersonalRow]:
    found: list[pb.PersonalRow] = []
    token = ""
    while True:
        request = pb.ExportPersonalDataRequest(**{"service": "account", **asked, "page_token": token})
        page = await account.personal.ExportPersonalData(request, metadata=headers)
        found += page.rows
        token = page.next_page_token
        if not token:
            return found


async def test_people_are_told_all_that_is_theirs_and_no_secret(account: AccountService) -> None:
    sari, budi = await account.person(SARI), await account.person(BUDI)
    pets = [await account.add_pet(sari, name, weight="4.20") for name in ("Miko", "Tofu", "Kopi")]
    await account.add_pet(budi, "Rex")

    found = await export(account, sari.headers, page_size=2)

    assert [row.table for row in found] == [*("users", "pets", "pets", "pets", "sessions", "email_verifications")]
    assert [row.values["id"] for row in found[1:4]] == [pet.id for pet in pets]
    assert found[5].values.keys() == {"user_id", "expires_at"}
    user = MessageToDict(found[0].values)
    assert (user["email"], user["notification_prefs"]["email"]) == (SARI, True)
    assert (found[1].values["weight"], found[1].values["deleted_at"]) == ("4.20", None)
    assert not any("password_hash" in row.values or "Rex" in str(row) for row in found)


async def test_others_are_told_nothing_but_services_and_administrators(account: AccountService) -> None:
    sari, budi = await account.person(SARI), await account.person(BUDI)
    ani = await with_role(account, "ani@petpro.example", "admin")
    for headers in (ani.headers, account.as_service("booking")):
        found = await export(account, headers, user_id=sari.user.id)
        assert found[0].values["id"] == sari.user.id
    refused: list[tuple[Headers, dict[str, str], grpc.StatusCode]] = [
        (budi.headers, {"user_id": sari.user.id}, grpc.StatusCode.PERMISSION_DENIED),
        (account.as_service("booking"), {}, grpc.StatusCode.PERMISSION_DENIED),
        ((), {}, grpc.StatusCode.UNAUTHENTICATED),
        (sari.headers, {"service": "booking"}, grpc.StatusCode.INVALID_ARGUMENT),
        (sari.headers, {"user_id": "sari"}, grpc.StatusCode.INVALID_ARGUMENT),
    ]
    for headers, asked, code in refused:
        with pytest.raises(aio.AioRpcError) as fault:
            await export(account, headers, **asked)
        assert refusal(fault.value).code is code
