"""The account service: `python -m petpro_account`."""

from petpro.account.v1 import operations_pb2_grpc
from petpro.account.v1.account_pb2_grpc import add_AccountServiceServicer_to_server, add_PetServiceServicer_to_server
from petpro_account import bootstrap
from petpro_account.jobs import PURGES
from petpro_account.passwords import Passwords
from petpro_account.servicer_account import AccountServicer
from petpro_account.servicer_operations import OperationsServicer
from petpro_account.servicer_pets import PetServicer
from petpro_account.settings import Settings
from petpro_account.store_personal import HELD
from petpro_account.tokens import TokenKeys
from petpro_common.housekeeping import run_purges
from petpro_common.service import Service, run


async def main() -> None:
    settings = Settings.load()
    keys = TokenKeys(settings.signing_keys.get_secret_value())
    passwords = Passwords()
    async with Service("petpro_account", settings, HELD) as service:
        account = AccountServicer(service.database, passwords, keys)
        add_AccountServiceServicer_to_server(account, service.server)
        add_PetServiceServicer_to_server(PetServicer(service.database), service.server)
        operations_pb2_grpc.add_UserOperationsServiceServicer_to_server(
            OperationsServicer(service.database), service.server
        )
        service.background(run_purges(service.database, PURGES))
        await bootstrap.begin(service, settings, passwords)
        await service.serve()


if __name__ == "__main__":
    run(main())
