"""Pets: whose they are, what may be said of them, and what others learn."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import grpc
import pytest
from grpc import aio
from sqlalchemy import text

from petpro.account.v1 import account_pb2 as pb
from petpro_common.testing import needed_fields
from services.account.tests.people import AccountService, Headers, Person, mask, refusal


@pytest.fixture
async def sari(account: AccountService) -> Person:
    return await account.person("sari@petpro.example")


@pytest.fixture
async def budi(account: AccountService) -> Person:
    return await account.person("budi@petpro.example", full_name="Budi Santoso")


async def pet_of(account: AccountService, pet_id: str, headers: Headers) -> pb.Pet:
    return (await account.pets.GetPet(pb.GetPetRequest(pet_id=pet_id), metadata=headers)).pet


async def names(account: AccountService, owner: Person) -> list[str]:
    reply = await account.pets.ListPets(pb.ListPetsRequest(), metadata=owner.headers)
    return [pet.name for pet in reply.pets]


async def edit(account: AccountService, owner: Person, pet_id: str, pet: pb.Pet, *paths: str) -> pb.Pet:
    request = pb.UpdatePetRequest(pet_id=pet_id, pet=pet, update_mask=mask(*paths))
    return (await account.pets.UpdatePet(request, metadata=owner.headers)).pet


async def pet_events(account: AccountService) -> list[dict[str, object]]:
    async with account.database.transaction() as tx:
        found = await tx.execute(
            text("SELECT convert_from(payload, 'UTF8') FROM outbox WHERE subject LIKE '%pet.changed' ORDER BY id")
        )
        return [json.loads(payload) for payload in found.scalars()]


async def test_a_pet_is_kept_as_it_was_told(account: AccountService, sari: Person) -> None:
    told = pb.Pet(
        name=" Miko ",
        species="cat",
        breed="Persia",
        birthdate="2021-03-14",
        weight="4.50",
        gender=pb.GENDER_FEMALE,
        photo_url="https://photos.petpro.example/miko.jpg",
        microchip_id="360000000000001",
    )
    made = (await account.pets.CreatePet(pb.CreatePetRequest(pet=told), metadata=sari.headers)).pet
    found = await pet_of(account, made.id, sari.headers)
    assert found == made
    assert found.user_id == sari.user.id
    told.name = "Miko"
    for field, value in told.ListFields():
        assert getattr(found, field.name) == value


async def test_of_a_pet_only_name_and_species_must_be_known(account: AccountService, sari: Person) -> None:
    made = await account.add_pet(sari)
    assert (made.breed, made.birthdate, made.weight, made.gender, made.photo_url) == ("", "", "", 0, "")


async def test_everything_that_is_wrong_with_a_pet_is_told_at_once(account: AccountService, sari: Person) -> None:
    nonsense = pb.Pet(
        name=" ",
        species="c\x00t",
        birthdate="2021-02-30",
        weight="0.00",
        gender=7,  # type: ignore[arg-type]  # what a newer app may send
        photo_url="javascript:alert(1)",
    )
    with pytest.raises(aio.AioRpcError) as fault:
        await account.pets.CreatePet(pb.CreatePetRequest(pet=nonsense), metadata=sari.headers)
    fields = ["name", "species", "birthdate", "weight", "gender", "photo_url"]
    assert refusal(fault.value).violations == [f"pet.{field}" for field in fields]


@pytest.mark.parametrize("weight", ["1000", "4.555", "-1", "1e2", "vier"])
async def test_a_weight_is_kilograms_with_two_digits(account: AccountService, sari: Person, weight: str) -> None:
    with pytest.raises(aio.AioRpcError) as fault:
        await account.add_pet(sari, weight=weight)
    assert refusal(fault.value).violations == ["pet.weight"]


async def test_other_peoples_pets_do_not_exist(account: AccountService, sari: Person, budi: Person) -> None:
    miko = await account.add_pet(sari)
    calls = [
        account.pets.GetPet(pb.GetPetRequest(pet_id=miko.id), metadata=budi.headers),
        account.pets.UpdatePet(pb.UpdatePetRequest(pet_id=miko.id, pet=pb.Pet(name="Mine")), metadata=budi.headers),
        account.pets.UpdatePet(pb.UpdatePetRequest(pet_id=miko.id, pet=pb.Pet()), metadata=budi.headers),
        account.pets.DeletePet(pb.DeletePetRequest(pet_id=miko.id), metadata=budi.headers),
        account.pets.GetPet(pb.GetPetRequest(pet_id=str(uuid4())), metadata=sari.headers),
    ]
    for call in calls:
        with pytest.raises(aio.AioRpcError) as fault:
            await call  # type: ignore[misc]  # calls of three kinds
        assert refusal(fault.value).code is grpc.StatusCode.NOT_FOUND
        assert refusal(fault.value).reason == "PET_NOT_FOUND"
    assert await names(account, budi) == []
    assert await names(account, sari) == ["Miko"]


async def test_services_and_administrators_see_every_pet(account: AccountService, sari: Person, budi: Person) -> None:
    miko = await account.add_pet(sari)
    assert await pet_of(account, miko.id, account.as_service("booking")) == miko
    async with account.database.transaction() as tx:
        await tx.execute(text("UPDATE users SET role = 'admin' WHERE email LIKE 'budi@%'"))
    admin = Person(budi.user, await account.sign_in(budi.user.email))
    assert await pet_of(account, miko.id, admin.headers) == miko
    assert (await edit(account, admin, miko.id, pb.Pet(name="Mika"))).user_id == sari.user.id


async def test_a_service_changes_nobodys_pets(account: AccountService, sari: Person) -> None:
    miko = await account.add_pet(sari)
    with pytest.raises(aio.AioRpcError) as fault:
        await account.pets.DeletePet(pb.DeletePetRequest(pet_id=miko.id), metadata=account.as_service("booking"))
    assert fault.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_what_the_contract_says_must_be_there_is_all_that_must(account: AccountService, sari: Person) -> None:
    request = pb.CreatePetRequest(pet=pb.Pet(name="Miko", species="cat"))
    assert needed_fields(request.pet) == [field.name for field, _ in request.pet.ListFields()]
    await account.pets.CreatePet(request, metadata=sari.headers)
    for name in needed_fields(request.pet):
        lacking: Any = pb.CreatePetRequest(pet=request.pet)
        lacking.pet.ClearField(name)
        with pytest.raises(aio.AioRpcError) as fault:
            await account.pets.CreatePet(lacking, metadata=sari.headers)
        assert refusal(fault.value).violations == [f"pet.{name}"]


async def test_only_what_the_mask_names_changes(account: AccountService, sari: Person) -> None:
    miko = await account.add_pet(sari, breed="Persia", weight="4.50", birthdate="2021-03-14")
    edited = await edit(account, sari, miko.id, pb.Pet(name="Ignored", weight="5.10"), "weight", "breed")
    assert (edited.name, edited.weight, edited.breed, edited.birthdate) == ("Miko", "5.10", "", "2021-03-14")
    assert edited.created_at == miko.created_at
    assert edited.updated_at.ToNanoseconds() > miko.updated_at.ToNanoseconds()


async def test_without_a_mask_what_is_set_changes(account: AccountService, sari: Person) -> None:
    miko = await account.add_pet(sari, breed="Persia")
    edited = await edit(account, sari, miko.id, pb.Pet(id=str(uuid4()), name="Mika", user_id=str(uuid4())))
    assert (edited.id, edited.user_id, edited.name, edited.breed) == (miko.id, sari.user.id, "Mika", "Persia")


async def test_an_edit_of_nothing_changes_nothing(account: AccountService, sari: Person) -> None:
    miko = await account.add_pet(sari)
    assert await edit(account, sari, miko.id, pb.Pet()) == miko
    assert len(await pet_events(account)) == 1


@pytest.mark.parametrize("path", ["user_id", "id", "medical_history.notes", "pet.name", "*"])
async def test_a_mask_names_only_what_can_be_edited(account: AccountService, sari: Person, path: str) -> None:
    miko = await account.add_pet(sari)
    with pytest.raises(aio.AioRpcError) as fault:
        await edit(account, sari, miko.id, pb.Pet(name="Mika"), path)
    assert refusal(fault.value).violations == ["update_mask"]


async def test_a_pets_name_cannot_be_taken_away(account: AccountService, sari: Person) -> None:
    miko = await account.add_pet(sari)
    with pytest.raises(aio.AioRpcError) as fault:
        await edit(account, sari, miko.id, pb.Pet(), "name")
    assert refusal(fault.value).violations == ["pet.name"]


async def test_a_deleted_pet_is_gone_for_everybody_and_its_row_stays(account: AccountService, sari: Person) -> None:
    miko = await account.add_pet(sari)
    await account.add_pet(sari, "Bruno", species="dog")
    await account.pets.DeletePet(pb.DeletePetRequest(pet_id=miko.id), metadata=sari.headers)
    assert await names(account, sari) == ["Bruno"]
    for headers in (sari.headers, account.as_service("booking")):
        with pytest.raises(aio.AioRpcError) as fault:
            await pet_of(account, miko.id, headers)
        assert refusal(fault.value).reason == "PET_NOT_FOUND"
    with pytest.raises(aio.AioRpcError) as again:
        await account.pets.DeletePet(pb.DeletePetRequest(pet_id=miko.id), metadata=sari.headers)
    assert refusal(again.value).reason == "PET_NOT_FOUND"
    async with account.database.transaction() as tx:
        assert (await tx.execute(text("SELECT count(*) FROM pets"))).scalar_one() == 2


async def test_pets_come_in_pages_oldest_first(account: AccountService, sari: Person, budi: Person) -> None:
    told = [f"Kucing {number}" for number in range(5)]
    for name in told:
        await account.add_pet(sari, name)
        await account.add_pet(budi, "Bruno")
    seen, token, sizes = [], "", []
    while True:
        request = pb.ListPetsRequest(page_size=2, page_token=token)
        page = await account.pets.ListPets(request, metadata=sari.headers)
        seen += [pet.name for pet in page.pets]
        sizes.append(len(page.pets))
        token = page.next_page_token
        if not token:
            break
    assert (seen, sizes) == (told, [2, 2, 1])


async def test_a_page_token_serves_its_own_list_only(account: AccountService, sari: Person, budi: Person) -> None:
    for name in ("Miko", "Bruno"):
        await account.add_pet(sari, name)
    page = await account.pets.ListPets(pb.ListPetsRequest(page_size=1), metadata=sari.headers)
    for token, reader in ((page.next_page_token, budi), ("guessed", sari), (page.next_page_token[:-4], sari)):
        with pytest.raises(aio.AioRpcError) as fault:
            await account.pets.ListPets(pb.ListPetsRequest(page_token=token), metadata=reader.headers)
        assert refusal(fault.value).reason == "BAD_PAGE_TOKEN"


async def test_a_pet_sent_twice_is_one_pet(account: AccountService, sari: Person, budi: Person) -> None:
    request = pb.CreatePetRequest(pet=pb.Pet(name="Miko", species="cat"), request_id="sari-adds-miko")
    twins = await asyncio.gather(*(account.pets.CreatePet(request, metadata=sari.headers) for _ in range(4)))
    assert len({twin.pet.id for twin in twins}) == 1
    assert await names(account, sari) == ["Miko"]
    other = await account.pets.CreatePet(request, metadata=budi.headers)
    assert other.pet.id != twins[0].pet.id
    request.pet.name = "Bruno"
    with pytest.raises(aio.AioRpcError) as fault:
        await account.pets.CreatePet(request, metadata=sari.headers)
    assert refusal(fault.value).reason == "REQUEST_ID_REUSED"


async def test_every_change_is_told_with_a_higher_version_and_no_personal_data(
    account: AccountService, sari: Person
) -> None:
    miko = await account.add_pet(sari)
    await edit(account, sari, miko.id, pb.Pet(name="Mika"))
    await account.pets.DeletePet(pb.DeletePetRequest(pet_id=miko.id), metadata=sari.headers)
    same = {"event_type": "pet.changed", "pet_id": miko.id, "user_id": sari.user.id}
    assert await pet_events(account) == [
        {**same, "is_deleted": False, "version": 1},
        {**same, "is_deleted": False, "version": 2},
        {**same, "is_deleted": True, "version": 3},
    ]


async def test_edits_at_once_take_turns(account: AccountService, sari: Person) -> None:
    miko = await account.add_pet(sari)
    await asyncio.gather(*(edit(account, sari, miko.id, pb.Pet(breed=f"Breed {n}")) for n in range(10)))
    assert [event["version"] for event in await pet_events(account)] == list(range(1, 12))


async def test_nobody_adds_a_pet_without_an_account(account: AccountService, sari: Person) -> None:
    with pytest.raises(aio.AioRpcError) as fault:
        await account.pets.CreatePet(pb.CreatePetRequest(pet=pb.Pet(name="Miko", species="cat")))
    assert fault.value.code() is grpc.StatusCode.UNAUTHENTICATED
    async with account.database.transaction() as tx:
        await tx.execute(text("UPDATE users SET account_status = 'suspended'"))
    with pytest.raises(aio.AioRpcError) as closed:
        await account.add_pet(sari)
    assert refusal(closed.value).reason == "USER_NOT_FOUND"
