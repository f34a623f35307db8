"""Reading and editing a profile, one's own and by id."""

import json
from uuid import uuid4

import grpc
import pytest
from grpc import aio
from sqlalchemy import text

from petpro.account.v1 import account_pb2 as pb
from services.account.tests.people import AccountService, Person, mask, refusal


@pytest.fixture
async def sari(account: AccountService) -> Person:
    return await account.person("sari@petpro.example")


async def edit(account: AccountService, person: Person, user: pb.User, *paths: str, request_id: str = "") -> pb.User:
    request = pb.UpdateCurrentUserRequest(user=user, update_mask=mask(*paths), request_id=request_id)
    return (await account.accounts.UpdateCurrentUser(request, metadata=person.headers)).user


async def test_only_what_the_mask_names_changes(account: AccountService, sari: Person) -> None:
    edited = await edit(account, sari, pb.User(full_name="Sari D.", phone_number="0361 123456"), "phone_number")
    assert (edited.full_name, edited.phone_number) == ("Sari Dewi", "+62361123456")


async def test_one_channel_can_be_turned_alone(account: AccountService, sari: Person) -> None:
    sms = pb.User(notification_prefs=pb.NotificationPrefs(sms=True))
    edited = await edit(account, sari, sms, "notification_prefs.sms")
    assert edited.notification_prefs == pb.NotificationPrefs(email=True, push=True, sms=True)
    edited = await edit(account, sari, pb.User(), "notification_prefs.push", "notification_prefs.sms")
    assert edited.notification_prefs == pb.NotificationPrefs(email=True)


async def test_channels_are_taken_whole_without_a_mask(account: AccountService, sari: Person) -> None:
    edited = await edit(account, sari, pb.User(notification_prefs=pb.NotificationPrefs(push=True)))
    assert edited.notification_prefs == pb.NotificationPrefs(push=True)


async def test_what_a_person_is_cannot_be_edited_by_them(account: AccountService, sari: Person) -> None:
    ambitious = pb.User(full_name="Sari", role=pb.ROLE_ADMIN, email="admin@petpro.example")
    edited = await edit(account, sari, ambitious)
    assert (edited.role, edited.email) == (pb.ROLE_CUSTOMER, "sari@petpro.example")
    for path in ("role", "email", "account_status", "verification_status"):
        with pytest.raises(aio.AioRpcError) as fault:
            await edit(account, sari, ambitious, path)
        assert refusal(fault.value).violations == ["update_mask"]


async def test_everything_that_is_wrong_with_an_edit_is_told_at_once(account: AccountService, sari: Person) -> None:
    with pytest.raises(aio.AioRpcError) as fault:
        await edit(account, sari, pb.User(phone_number="12345"), "full_name", "phone_number")
    assert refusal(fault.value).violations == ["user.full_name", "user.phone_number"]


async def test_an_edit_is_told_once_without_what_was_edited(account: AccountService, sari: Person) -> None:
    for _ in range(2):
        await edit(account, sari, pb.User(full_name="Sari D."), request_id="sari-renames")
    await edit(account, sari, pb.User())
    async with account.database.transaction() as tx:
        found = await tx.execute(text("SELECT convert_from(payload, 'UTF8') FROM outbox WHERE subject LIKE '%changed'"))
        events = [json.loads(payload) for payload in found.scalars()]
    assert events == [{"event_type": "user.changed", "user_id": sari.user.id, "version": 2}]


async def test_a_person_by_id_is_for_services_and_administrators(account: AccountService, sari: Person) -> None:
    request = pb.GetUserRequest(user_id=sari.user.id)
    found = (await account.accounts.GetUser(request, metadata=account.as_service("notification"))).user
    assert found == sari.user
    with pytest.raises(aio.AioRpcError) as fault:
        await account.accounts.GetUser(request, metadata=sari.headers)
    assert fault.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_people_by_their_ids_are_those_who_are_there(account: AccountService, sari: Person) -> None:
    request = pb.BatchGetUsersRequest(user_ids=[sari.user.id, str(uuid4()), sari.user.id])
    reply = await account.accounts.BatchGetUsers(request, metadata=account.as_service("notification"))
    assert list(reply.users) == [sari.user]
    with pytest.raises(aio.AioRpcError) as fault:
        await account.accounts.BatchGetUsers(request, metadata=sari.headers)
    assert fault.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("user_ids", [[], ["nobody"], [str(uuid4()) for _ in range(101)]])
async def test_people_are_asked_for_by_one_to_a_hundred_ids(account: AccountService, user_ids: list[str]) -> None:
    request = pb.BatchGetUsersRequest(user_ids=user_ids)
    with pytest.raises(aio.AioRpcError) as fault:
        await account.accounts.BatchGetUsers(request, metadata=account.as_service("notification"))
    assert fault.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_nobody_has_an_id_that_was_made_up(account: AccountService) -> None:
    request = pb.GetUserRequest(user_id=str(uuid4()))
    with pytest.raises(aio.AioRpcError) as fault:
        await account.accounts.GetUser(request, metadata=account.as_service("notification"))
    assert refusal(fault.value).reason == "USER_NOT_FOUND"
