"""Adding, listing, editing and removing pets. `owner` is whose pets the caller may touch; None stands for anybody's."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from petpro.account.v1 import account_pb2
from petpro_account import fields, medical_history, messages, store
from petpro_account.domain import Pet, PetNotFound, UserNotFound, birthdate, filled, photo_url, text, weight
from petpro_account.fields import Readers
from petpro_common.db import Transaction
from petpro_common.masks import to_edit
from petpro_common.pages import cut, read_id

_FIRST = UUID(int=0)

EDITABLE: Readers = {
    "name": lambda pet: filled(pet.name, 100),
    "species": lambda pet: filled(pet.species, 50),
    "breed": lambda pet: text(pet.breed, 100) or None,
    "birthdate": lambda pet: birthdate(pet.birthdate, datetime.now(UTC)),
    "weight": lambda pet: weight(pet.weight),
    "gender": lambda pet: messages.gender_of(pet.gender),
    "medical_history": lambda pet: medical_history.read(pet.medical_history),
    "photo_url": lambda pet: photo_url(pet.photo_url),
    "microchip_id": lambda pet: text(pet.microchip_id, 50) or None,
}


def read_new(pet: account_pb2.Pet) -> dict[str, Any]:
    """The columns of a new pet. Raises InvalidRequest."""
    return fields.read(pet, EDITABLE, list(EDITABLE), "pet.")


def read_edit(pet: account_pb2.Pet, mask: Sequence[str]) -> dict[str, Any]:
    """The columns that an edit changes. Raises InvalidRequest."""
    return fields.read(pet, EDITABLE, to_edit(pet, mask, EDITABLE), "pet.")


async def add(tx: Transaction, owner: UUID, columns: dict[str, Any]) -> Pet:
    """Adds a pet. Raises UserNotFound when the owner's account is closed."""
    pet = await store.add_pet(tx, owner, columns)
    if pet is None:
        raise UserNotFound
    messages.tell_pet_changed(tx, pet)
    return pet


async def get(tx: Transaction, pet_id: UUID, owner: UUID | None) -> Pet:
    """The pet. Raises PetNotFound when there is none, it is deleted, or it is not the owner's."""
    pet = await store.pet(tx, pet_id, owner)
    if pet is None:
        raise PetNotFound
    return pet


async def page(tx: Transaction, owner: UUID, size: int, token: str) -> tuple[Sequence[Pet], str]:
    """One page of the owner's pets, oldest first, and the token of the next one. Raises BadPageToken."""
    found = await store.pets(tx, owner, read_id(token, owner) or _FIRST, size + 1)
    return cut(found, size, lambda pet: (pet.id,), owner)


async def edit(tx: Transaction, pet_id: UUID, owner: UUID | None, columns: dict[str, Any]) -> Pet:
    """Changes a pet; an edit that names nothing changes nothing. Raises PetNotFound as `get` does."""
    if not columns:
        return await get(tx, pet_id, owner)
    pet = await store.edit_pet(tx, pet_id, owner, columns)
    if pet is None:
        raise PetNotFound
    messages.tell_pet_changed(tx, pet)
    return pet


async def remove(tx: Transaction, pet_id: UUID, owner: UUID | None) -> None:
    """Deletes a pet; the row stays for the bookings that know it. Raises PetNotFound as `get` does."""
    pet = await store.remove_pet(tx, pet_id, owner)
    if pet is None:
        raise PetNotFound
    messages.tell_pet_changed(tx, pet)
