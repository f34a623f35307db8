"""PetService over gRPC. A pet that is not the caller's does not exist for them; administrators may touch any pet."""

from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext

from petpro.account.v1 import account_pb2 as pb
from petpro.account.v1.account_pb2_grpc import PetServiceServicer
from petpro_account import messages, pets
from petpro_common.context import Caller, signed_in
from petpro_common.db import Database, Transaction
from petpro_common.idempotency import once
from petpro_common.pages import page_size

Context = ServicerContext[Any, Any]


def _owner(caller: Caller) -> UUID | None:
    """Whose pets the caller may change. Raises Forbidden for a service, which only reads."""
    return None if caller.is_admin else caller.user_id


class PetServicer(PetServiceServicer):
    """See the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def CreatePet(self, request: pb.CreatePetRequest, context: Context) -> pb.CreatePetResponse:
        owner = signed_in().user_id
        columns = pets.read_new(request.pet)

        async def work(tx: Transaction) -> pb.CreatePetResponse:
            return pb.CreatePetResponse(pet=messages.pet_message(await pets.add(tx, owner, columns)))

        return await once(self._database, request, pb.CreatePetResponse, work)

    async def ListPets(self, request: pb.ListPetsRequest, context: Context) -> pb.ListPetsResponse:
        owner = signed_in().user_id
        async with self._database.reading() as tx:
            found, next_page = await pets.page(tx, owner, page_size(request.page_size), request.page_token)
        return pb.ListPetsResponse(pets=map(messages.pet_message, found), next_page_token=next_page)

    async def GetPet(self, request: pb.GetPetRequest, context: Context) -> pb.GetPetResponse:
        caller = signed_in()
        owner = None if caller.is_trusted else caller.user_id
        async with self._database.reading() as tx:
            pet = await pets.get(tx, UUID(request.pet_id), owner)
        return pb.GetPetResponse(pet=messages.pet_message(pet))

    async def UpdatePet(self, request: pb.UpdatePetRequest, context: Context) -> pb.UpdatePetResponse:
        owner = _owner(signed_in())
        columns = pets.read_edit(request.pet, request.update_mask.paths)

        async def work(tx: Transaction) -> pb.UpdatePetResponse:
            pet = await pets.edit(tx, UUID(request.pet_id), owner, columns)
            return pb.UpdatePetResponse(pet=messages.pet_message(pet))

        return await once(self._database, request, pb.UpdatePetResponse, work)

    async def DeletePet(self, request: pb.DeletePetRequest, context: Context) -> pb.DeletePetResponse:
        owner = _owner(signed_in())

        async def work(tx: Transaction) -> pb.DeletePetResponse:
            await pets.remove(tx, UUID(request.pet_id), owner)
            return pb.DeletePetResponse()

        return await once(self._database, request, pb.DeletePetResponse, work)
