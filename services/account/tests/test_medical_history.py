"""What an owner tells of a pet's health: who reads it, what is refused, and what an edit leaves alone."""

from typing import Any

import pytest
from grpc import aio
from sqlalchemy import text

from petpro.account.v1 import account_pb2 as pb
from services.account.tests.people import AccountService, Person, refusal
from services.account.tests.test_pets import edit, pet_of

RABIES = pb.Vaccination(name="Rabies", given_on="2026-03-14", due_on="2027-03-14")
HISTORY = pb.MedicalHistory(
    conditions=["Diabetes"],
    allergies=["Penicillin", "Chicken"],
    medications=["Insulin, 2 units"],
    vaccinations=[RABIES, pb.Vaccination(name="Tricat")],
    notes="Bites.\nAfraid of dogs.",
)


@pytest.fixture
async def sari(account: AccountService) -> Person:
    return await account.person("sari@petpro.example")


async def with_history(account: AccountService, owner: Person) -> pb.Pet:
    request = pb.CreatePetRequest(pet=pb.Pet(name="Miko", species="cat", medical_history=HISTORY))
    return (await account.pets.CreatePet(request, metadata=owner.headers)).pet


async def test_a_history_is_kept_as_it_was_told_for_its_owner_services_and_administrators(
    account: AccountService, sari: Person
) -> None:
    miko = await with_history(account, sari)
    assert miko.medical_history == HISTORY
    admin = await account.person("ani@petpro.example", full_name="Ani Putri")
    async with account.database.transaction() as tx:
        await tx.execute(text("UPDATE users SET role = 'admin' WHERE email LIKE 'ani@%'"))
    admin = Person(admin.user, await account.sign_in(admin.user.email))
    for headers in (sari.headers, account.as_service("booking"), admin.headers):
        assert (await pet_of(account, miko.id, headers)).medical_history == HISTORY
    budi = await account.person("budi@petpro.example", full_name="Budi Santoso")
    with pytest.raises(aio.AioRpcError) as fault:
        await pet_of(account, miko.id, budi.headers)
    assert refusal(fault.value).reason == "PET_NOT_FOUND"


async def test_a_list_leaves_histories_out_and_a_pet_of_which_nothing_was_told_has_none(
    account: AccountService, sari: Person
) -> None:
    miko = await with_history(account, sari)
    bruno = await account.add_pet(sari, "Bruno", species="dog")
    listed = (await account.pets.ListPets(pb.ListPetsRequest(), metadata=sari.headers)).pets
    assert [(pet.id, pet.HasField("medical_history")) for pet in listed] == [(miko.id, False), (bruno.id, False)]
    assert not (await pet_of(account, bruno.id, sari.headers)).HasField("medical_history")


async def test_an_edit_changes_the_history_as_a_whole_and_only_where_it_is_about_it(
    account: AccountService, sari: Person
) -> None:
    miko = await with_history(account, sari)
    assert (await edit(account, sari, miko.id, pb.Pet(name="Mika"))).medical_history == HISTORY
    other = pb.MedicalHistory(notes="Well.")
    told = pb.Pet(name="Other", medical_history=other)
    assert (await edit(account, sari, miko.id, told, "name")).medical_history == HISTORY
    assert (await edit(account, sari, miko.id, told)).medical_history == other
    cleared = await edit(account, sari, miko.id, pb.Pet(), "medical_history")
    assert (cleared.name, cleared.HasField("medical_history")) == ("Other", False)


async def test_a_service_writes_none(account: AccountService, sari: Person) -> None:
    miko = await with_history(account, sari)
    request = pb.UpdatePetRequest(pet_id=miko.id, pet=pb.Pet(medical_history=pb.MedicalHistory(notes="x")))
    with pytest.raises(aio.AioRpcError) as fault:
        await account.pets.UpdatePet(request, metadata=account.as_service("booking"))
    assert refusal(fault.value).reason == "FORBIDDEN"


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"conditions": [" "]}, "pet.medical_history"),
    ({"allergies": ["a\nb"]}, "pet.medical_history"),
    ({"vaccinations": [pb.Vaccination(name="Rabies", given_on="2026-02-30")]}, "pet.medical_history"),
    ({"notes": "a\0b"}, "pet.medical_history"),
    ({"medications": [""]}, "pet.medical_history.medications"),
    ({"conditions": ["x"] * 21}, "pet.medical_history.conditions"),
    ({"vaccinations": [pb.Vaccination(name="Rabies")] * 51}, "pet.medical_history.vaccinations"),
    ({"vaccinations": [pb.Vaccination(given_on="2026-02-28")]}, "pet.medical_history.vaccinations.name"),
    ({"vaccinations": [pb.Vaccination(name="x", due_on="soon")]}, "pet.medical_history.vaccinations.due_on"),
    ({"notes": "x" * 2001}, "pet.medical_history.notes"),
]


@pytest.mark.parametrize(("history", "field"), BROKEN)
async def test_what_breaks_a_rule_is_refused_and_named(
    account: AccountService, sari: Person, history: dict[str, Any], field: str
) -> None:
    miko = await account.add_pet(sari)
    with pytest.raises(aio.AioRpcError) as fault:
        await edit(account, sari, miko.id, pb.Pet(medical_history=pb.MedicalHistory(**history)))
    assert refusal(fault.value).violations == [field]


async def test_what_the_release_before_left_and_edits_is_read(account: AccountService, sari: Person) -> None:
    """It writes no history, and its edits name the columns that it knows."""
    miko = await with_history(account, sari)
    async with account.database.transaction() as tx:
        await tx.execute(text("UPDATE pets SET name = 'Mika', medical_history = medical_history || '{\"later\": 1}'"))
    found = await pet_of(account, miko.id, sari.headers)
    assert (found.name, found.medical_history) == ("Mika", HISTORY)
